package main

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// signature names what was signed: Ed25519 signatures differ if anything does.
type signature [64]byte

// verdict is what was found of a signature.
type verdict struct {
	key certs.PublicKey
	ok  bool
}

// share gives a core what all peers of the world have in common: the one copy of
// each record, and the memory of verdicts, so that a signature is judged once and not by
// each of 10,000.
func (w *world) share(cfg *core.Config) {
	cfg.Open, cfg.Verify = w.memory.open, w.memory.verify
}

// open is core.OpenRecord with a memory.
func (m *memory) open(s *pb.Signed) (*core.Record, error) {
	name := signature(s.GetSignature())
	if r := m.records[name]; r != nil && string(r.Signed.GetPayload()) == string(s.GetPayload()) {
		return r, nil
	}
	r, err := core.OpenRecord(s)
	if err == nil {
		m.records[name] = r
	}
	return r, err
}

// verify is core.Claim.Valid with a memory.
func (m *memory) verify(c core.Claim) bool {
	name := signature(c.Signed.GetSignature())
	if v, known := m.judged[name]; known && v.key == c.Key {
		return v.ok
	}
	v := verdict{c.Key, c.Valid()}
	m.judged[name] = v
	return v.ok
}

// judging is the time that one signature takes: Ed25519 on one core (measured).
const judging = 55 * time.Microsecond

// verify has signatures judged, one after the other, beside the loop.
func (p *peer) verify(wishes []core.Verify) {
	n := 0
	for _, v := range wishes {
		n += len(v.Claims)
	}
	if len(wishes) > 0 {
		at := p.w.now + time.Duration(n)*judging
		p.w.queue.push(event{at: at, kind: happensVerdict, peer: p, life: p.life, verify: wishes})
	}
}

// answer is the end of that.
func (p *peer) answer(wishes []core.Verify) {
	life := p.life
	for _, v := range wishes {
		if p.core == nil || p.life != life {
			return
		}
		valid := make([]bool, len(v.Claims))
		for i, c := range v.Claims {
			valid[i] = p.w.memory.verify(c)
		}
		p.core.Verified(p.w.now, v.ID, valid)
		p.drain()
	}
}

func hashOf(id certs.ID) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}

// load adds n peers and starts them as a network that has stood for long: all
// tables are full, but there is no link yet.
func (w *world) load(n int) {
	records := make([]*core.Record, n)
	for i := range n {
		p := w.addPeer()
		key, sealing := p.identity.Key(), p.identity.SealingKey()
		r, err := w.memory.open(p.identity.SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: string(p.id), Key: key[:], Network: network,
			Addresses: []string{p.address}, Epoch: p.epoch, SealingKey: sealing[:], Nonce: p.nonce(),
		}))
		if err != nil {
			panic("sim: " + err.Error())
		}
		records[i] = r
	}
	// Tables are ordered by the hash of the ID: sorted here once, not by each peer.
	slices.SortFunc(records, func(a, b *core.Record) int {
		return bytes.Compare(hashOf(a.ID), hashOf(b.ID))
	})
	others := make([]*core.Record, n) // a core keeps none of it, so one serves all
	for _, p := range w.peers {
		copy(others, records)
		i := slices.IndexFunc(others, func(r *core.Record) bool { return r.Key == p.key })
		p.begin(core.Config{Members: slices.Delete(others, i, i+1)})
		for j := range int32(n) {
			if j != p.index {
				p.there.add(j)
			}
		}
	}
}
