package main

// attacks are all of them, in the order of docs/attacks.md.
var attacks = []*attack{
	claim, refusal,
	firstbyte, amplification, logflood,
	slots, unread, silent,
	fill, crowd,
	swallow, accusers, aged,
	reflector, multicast,
}
