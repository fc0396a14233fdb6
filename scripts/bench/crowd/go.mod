module quicpeer/scripts/bench/crowd

go 1.26.0
