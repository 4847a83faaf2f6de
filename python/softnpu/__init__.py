"""SoftNPU: a CANN made of software. See ``softnpu run --help``."""
