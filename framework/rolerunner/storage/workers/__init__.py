"""Work that is given to other processes: forked ones of this machine, and those of a cluster."""
