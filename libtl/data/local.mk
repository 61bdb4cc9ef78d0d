# sources of data
