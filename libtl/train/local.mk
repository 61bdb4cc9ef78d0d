# sources of train
