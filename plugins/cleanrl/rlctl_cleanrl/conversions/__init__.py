"""Files of another system around CleanRL as configurations of rlctl: MOSAIC's. Light: nothing is executed or fetched."""
