"""Files of other systems around SB3 as configurations of rlctl: Indra-RL-Lab's and AGILab's. Light: nothing is executed."""
