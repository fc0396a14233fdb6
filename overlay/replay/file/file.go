// Package file keeps recordings of package replay in files. Such a file has no key in it, but all that was
// said to the peer; its reader gives the Setup. It is a package of its own for the program's sake, which would
// begin more slowly with encoding/gob.
package file

import (
	"encoding/gob"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/overlay/replay"
	"quicpeer/pb"
)

// written is a step in a file. Messages of the protocol stand beside their input.
type written struct {
	replay.Step
	Message []byte
}

// names registers the inputs with gob.
var names = sync.OnceFunc(func() {
	for _, in := range []core.Input{
		core.Connected{}, core.Received{}, core.Disconnected{}, core.Heard{}, core.Stuck{}, core.Seen{}, core.DialFailed{},
		core.Verified{}, core.Want{}, core.Broadcast{}, core.EnterRoom{}, core.ExitRoom{}, core.Recalled{}, core.Route{}, core.Carry{}, core.Deposit{}, core.Withdraw{}, core.Collect{},
		core.Found{}, core.Join{}, core.Ping{}, core.Moved{}, core.Mapped{}, core.Describe{}, core.Slept{}, core.Leave{}, core.Tick{},
	} {
		gob.Register(in)
	}
})

// Write writes the steps of a recording.
func Write(to io.Writer, r *replay.Recording) error {
	names()
	file := gob.NewEncoder(to)
	for _, s := range r.Steps {
		w := written{Step: s}
		var m proto.Message
		switch in := s.Input.(type) {
		case core.Received:
			m, w.Input = in.Frame, core.Received{Link: in.Link}
		case core.Deposit:
			m, w.Input = in.Deposit, core.Deposit{}
		case core.Collect:
			m, w.Input = in.Collected, core.Collect{Holder: in.Holder}
		}
		if m != nil {
			var err error
			if w.Message, err = proto.Marshal(m); err != nil {
				return err
			}
		}
		if err := file.Encode(w); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what Write has written.
func Read(from io.Reader) (*replay.Recording, error) {
	names()
	file, r := gob.NewDecoder(from), new(replay.Recording)
	for {
		var w written
		if err := file.Decode(&w); err == io.EOF {
			return r, nil
		} else if err != nil {
			return nil, err
		}
		var err error
		switch in := w.Input.(type) {
		case core.Received:
			in.Frame = new(pb.PeerMessage)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Frame)
		case core.Deposit:
			in.Deposit = new(pb.Deposit)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Deposit)
		case core.Collect:
			in.Collected = new(pb.Collected)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Collected)
		}
		if err != nil {
			return nil, err
		}
		r.Steps = append(r.Steps, w.Step)
	}
}
