package coretest

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Load starts all machines as a network that has stood for long: all tables are full, but links
// are still to be made.
func (w *World) Load() {
	records := make([]*base.Record, len(w.Machines))
	for i, m := range w.Machines {
		sealing := m.Identity.SealingKey()
		r, err := w.memory.open(m.Identity.SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: string(m.ID), Key: m.Key[:], Network: network,
			Addresses: []string{m.Address}, Epoch: m.Epoch, SealingKey: sealing[:], Nonce: m.nonce(),
		}))
		if err != nil {
			panic("coretest: " + err.Error())
		}
		records[i] = r
	}
	// Tables are ordered by the hash of the ID: sorted here once, not by each peer.
	slices.SortFunc(records, func(a, b *base.Record) int { return bytes.Compare(hashOf(a.ID), hashOf(b.ID)) })
	others := make([]*base.Record, len(records)) // a core keeps none of it, so one serves all
	for _, m := range w.Machines {
		copy(others, records)
		i := slices.IndexFunc(others, func(r *base.Record) bool { return r.Key == m.Key })
		p := m.begin(base.Config{Members: slices.Delete(others, i, i+1)})
		for _, o := range w.Machines {
			if o != m {
				p.there.Add(o.number)
			}
		}
	}
}

func hashOf(id certs.ID) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}
