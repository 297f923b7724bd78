"""Models through CTranslate2, one file for each kind: the fastest on a CPU, without torch."""
