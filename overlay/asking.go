package overlay

import (
	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// maxAsking bounds the bytes of questions about our table that wait; one that comes then is not
// answered (a guess).
const maxAsking = 4 << 20

// received: a frame has come on the control stream of a link.
type received struct {
	link  *nodeLink
	frame *pb.PeerMessage
}

// handle lets a question about our table wait while the peer, or its host over many links, has not
// read most of the last answers: whoever asks and reads nothing gets no more of them.
func (r received) handle(l *loop) {
	ask := r.frame.GetReconcile()
	switch {
	case ask == nil || ask.GetAnswer():
		l.step(core.Received{Link: r.link.id, Frame: r.frame})
		return
	case l.links.mayAsk(r.link):
		r.answer(l)
		return
	}
	l.links.forgetQuestion(r.link) // a peer asks again when it has its answer, and not before
	if size := proto.Size(r.frame); l.links.asking+size <= maxAsking {
		r.link.question = r.frame
		l.links.asking += size
	}
}

// answer has the question answered, and queues the answer at once: before the next question is looked
// at.
func (r received) answer(l *loop) {
	l.step(core.Received{Link: r.link.id, Frame: r.frame})
	l.settle()
}

// mayAsk says that a question of a link about our table is answered now.
func (s *links) mayAsk(l *nodeLink) bool {
	if l.QueuedFirst() > maxQueuedAsking { // what it carries for others is not its own doing
		return false
	}
	host, queued := base.Host(l.address.Addr()), 0
	for _, other := range s.all {
		if n := other.QueuedFirst(); n > 0 && base.Host(other.address.Addr()) == host {
			queued += n
		}
	}
	return queued <= maxQueuedHost
}

// forgetQuestion ends the wait of a link's question, and returns it.
func (s *links) forgetQuestion(l *nodeLink) (question *pb.PeerMessage) {
	if question, l.question = l.question, nil; question != nil {
		s.asking -= proto.Size(question)
	}
	return question
}
