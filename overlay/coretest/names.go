package coretest

import (
	"math/bits"

	"quicpeer/certs"
)

// Set is a set of names by their number.
type Set []uint64

func (s Set) Has(i int32) bool { return int(i>>6) < len(s) && s[i>>6]&(1<<(i&63)) != 0 }

func (s *Set) Add(i int32) {
	for len(*s) <= int(i>>6) {
		*s = append(*s, 0)
	}
	(*s)[i>>6] |= 1 << (i & 63)
}

func (s Set) Remove(i int32) {
	if int(i>>6) < len(s) {
		s[i>>6] &^= 1 << (i & 63)
	}
}

// Len counts its members.
func (s Set) Len() int { return s.differences(nil) }

// differences counts the members of only one of the two sets.
func (s Set) differences(t Set) int {
	n := 0
	for i := range max(len(s), len(t)) {
		var a, b uint64
		if i < len(s) {
			a = s[i]
		}
		if i < len(t) {
			b = t[i]
		}
		n += bits.OnesCount64(a ^ b)
	}
	return n
}

// names numbers all pairs of an ID and a key that machines have, or that events have named, so
// that which of 10,000 peers each of them shows as here takes a bit per pair.
type names struct {
	list []named
	byID map[certs.ID][]int32
}

type named struct {
	id      certs.ID
	key     certs.PublicKey
	machine *Machine // the last one; nil: the pair was made up
}

func newNames() names { return names{byID: make(map[certs.ID][]int32)} }

// of returns the number of a pair.
func (n *names) of(id certs.ID, key certs.PublicKey) int32 {
	for _, i := range n.byID[id] {
		if n.list[i].key == key {
			return i
		}
	}
	i := int32(len(n.list))
	n.list = append(n.list, named{id: id, key: key})
	n.byID[id] = append(n.byID[id], i)
	return i
}
