# sources of ops
