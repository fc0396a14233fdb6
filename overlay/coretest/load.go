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
	records := w.records()
	others := make([]*base.Record, len(records)) // a core keeps none of it, so one serves all
	for _, m := range w.Machines {
		copy(others, records)
		m.load(others)
	}
}

// LoadFirst starts the first machine alone, with the table of Load.
func (w *World) LoadFirst() { w.Machines[0].load(w.records()) }

// load starts a machine that has known the others for long; the list is used up.
func (m *Machine) load(list []*base.Record) {
	i := slices.IndexFunc(list, func(r *base.Record) bool { return r.Key == m.Key })
	p := m.begin(base.Config{Members: slices.Delete(list, i, i+1)})
	for _, o := range m.World.Machines {
		if o != m {
			p.there.Add(o.number)
		}
	}
}

// records are those of all machines, in the order of the table: sorted here once, not by each peer.
func (w *World) records() []*base.Record {
	records := make([]*base.Record, len(w.Machines))
	for i, m := range w.Machines {
		sealing := m.Identity.SealingKey()
		record := &pb.Record{
			Type: pb.AnnouncementType_JOIN, Pass: m.ownPass(),
			Addresses: []string{m.Address}, Epoch: m.Epoch, SealingKey: sealing[:], Nonce: m.nonce(), Features: []uint32{pb.FeatureData},
		}
		if w.Root == nil { // else the pass says it
			record.Id, record.Key, record.Network = string(m.ID), m.Key[:], network
		}
		r, err := w.memory.open(m.Identity.SignRecord(record))
		if err != nil {
			panic("coretest: " + err.Error())
		}
		records[i] = r
	}
	slices.SortFunc(records, func(a, b *base.Record) int { return bytes.Compare(hashOf(a.ID), hashOf(b.ID)) })
	return records
}

func hashOf(id certs.ID) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}
