package files

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

// answerPatience is how long the sender has for an answer (a guess).
const answerPatience = 30 * time.Second

// fatal is an error that ends a transfer.
type fatal struct{ why string }

func (e *fatal) Error() string { return e.why }

func closeBulk(b *transport.Bulk) { b.Close(transport.CodeIdle, "done") }

// request asks on a new stream, and returns what follows an answer that gives it.
func request(ctx context.Context, b *transport.Bulk, q *pb.FileRequest) (*transport.BulkStream, *bufio.Reader, error) {
	frame, err := pb.AppendFile(nil, q)
	if err != nil {
		return nil, nil, err
	}
	opening, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	s, err := b.OpenStream(opening)
	if err != nil && opening.Err() != nil && ctx.Err() == nil {
		err = errors.New("the sender takes no request")
	}
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Cancel(transport.CodeShutdown) })()
	deadline := time.Now().Add(answerPatience)
	s.SetDeadline(deadline)
	if _, err = s.Write(frame); err == nil {
		err = s.CloseWrite()
	}
	r := bufio.NewReaderSize(s, 64<<10)
	var a *pb.FileAnswer
	if err == nil {
		a, err = pb.ReadFileAnswer(r)
	}
	if err != nil {
		s.Cancel(transport.CodeBye)
		return nil, nil, explain(err)
	}
	s.SetDeadline(time.Time{})
	if err := refusal(a); err != nil {
		s.Cancel(transport.CodeBye)
		return nil, nil, err
	}
	return s, r, nil
}

// refusal is what an answer means that gives nothing.
func refusal(a *pb.FileAnswer) error {
	switch a.GetCode() {
	case pb.FileCode_GIVEN:
		return nil
	case pb.FileCode_NO_OFFER:
		return &fatal{"the sender does not know the offer any more"}
	case pb.FileCode_OFFER_WITHDRAWN:
		return &fatal{"the sender has withdrawn it"}
	case pb.FileCode_SOURCE_CHANGED:
		return &fatal{"changed: what was offered is not any more what it was"}
	case pb.FileCode_MISMATCH:
		return &fatal{"changed: what has come is not what was sent"}
	case pb.FileCode_SOURCE_UNREADABLE:
		return errors.New("the sender can't read what it has offered")
	}
	return errors.New("the sender is busy")
}

// explain says what the end of a stream means.
func explain(err error) error {
	reset, ok := errors.AsType[*transport.ResetError](err)
	switch {
	case ok && reset.Code == transport.CodeChanged:
		return &fatal{"changed: what was offered is not any more what it was"}
	case ok && reset.Code == transport.CodeWithdrawn:
		return &fatal{"the sender has withdrawn it"}
	case ok && reset.Code == transport.CodeUnreadable:
		return errors.New("the sender can't read what it has offered")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("nothing comes from the sender")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the sender has ended too early")
	}
	return err
}

// ask asks on a new stream, and reads what follows the answer into room, of which it returns what was filled; nil: nothing
// may follow.
func ask(ctx context.Context, b *transport.Bulk, q *pb.FileRequest, room []byte) ([]byte, error) {
	s, r, err := request(ctx, b, q)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Cancel(transport.CodeShutdown) })()
	defer s.Cancel(transport.CodeBye)
	s.SetReadDeadline(time.Now().Add(answerPatience))
	n, err := io.ReadFull(r, room)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, explain(err)
	}
	return room[:n], nil
}
