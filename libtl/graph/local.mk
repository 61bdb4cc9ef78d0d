# sources of graph
