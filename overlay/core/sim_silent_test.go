package core_test

import (
	"bufio"
	"bytes"
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// TestSimSilentNeighbours has thirty members become neighbours of four peers, who pass nothing on,
// answer no questions and name no neighbours: half of the times not even a ping. A crash among the
// four must still be known soon, and none of the living be missed.
func TestSimSilentNeighbours(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4)
		w.hostile = &hostilePeers{}
		w.Gone = func(p, q *process) {
			if !p.Hostile && !q.Hostile {
				w.fatal("%s shows %s as gone, who is there", p.ID, q.ID)
			}
		}
		w.Rewrite = func(from *coretest.End, f base.Frame) [][]byte {
			if from.Process.Hostile && !w.saysLittle(f.Data, seed%2 == 0) {
				return nil
			}
			return [][]byte{f.Data}
		}
		w.build(4, time.Second)
		honest := w.Living()
		for i := range 30 {
			silent := w.addNode(fmt.Sprintf("silent%d", i), 1<<20+uint64(i))
			for _, other := range w.Machines[4 : 4+i] {
				w.Sever(silent, other, true) // they want none but the four
			}
			silent.Start(w.Machines[i%4].Address).Hostile = true
			w.Run(w.Between(0, 200*time.Millisecond))
		}
		w.Run(w.Between(20*time.Second, 40*time.Second))
		dead := honest[1+int(seed%3)]
		dead.Crash()
		took, ok := w.runUntil(30*time.Second, func() bool {
			for _, p := range honest {
				if p != dead && p.Shows(dead.Machine) {
					return false
				}
			}
			return true
		})
		if !ok || took > 5*time.Second {
			t.Errorf("the crash of %s is known after %v", dead.ID, took)
		}
	})
}

// saysLittle reports whether a member says this that only wants to be a neighbour.
func (w *world) saysLittle(data []byte, pongs bool) bool {
	m, err := pb.Read(bufio.NewReader(bytes.NewReader(data)), pb.MaxControlFrame)
	if err != nil {
		w.fatal("%v", err)
	}
	switch m.GetType() {
	case pb.PeerMessageType_HANDSHAKE, pb.PeerMessageType_NEIGHBOUR, pb.PeerMessageType_SYNC:
		return true
	}
	return pongs && m.GetRouted().GetPong() != nil
}
