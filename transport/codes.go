package transport

import "fmt"

// Code is the reason for closing a link or a stream, as the other side sees it.
type Code uint64

// The codes are part of the wire: numbers are only ever added. pb/quicpeer.proto says which of
// them mean to dial again.
const (
	CodeBye              Code = 0 // goodbye; nothing is wrong
	CodeProtocol         Code = 1 // the peer broke the protocol
	CodeRefused          Code = 2 // the handshake was refused
	CodeDuplicateLink    Code = 3 // there is another link between the two
	CodeSlow             Code = 4 // the peer does not read
	CodeIdle             Code = 5 // the link is not needed
	CodeHandshakeTimeout Code = 6 // the first frame did not come in time
	CodeShutdown         Code = 7 // the process stops without a goodbye
	CodeInternal         Code = 8 // a fault on the closing side
	CodeAgain            Code = 9 // of a stream: an earlier one was lost, send again from the oldest message on

	// Of streams of bulk connections.
	CodeChanged    Code = 10 // the source has changed since it was offered
	CodeWithdrawn  Code = 11 // the offer is withdrawn
	CodeUnreadable Code = 12 // the source can't be read
)

var codeNames = [...]string{
	CodeBye:              "goodbye",
	CodeProtocol:         "protocol broken",
	CodeRefused:          "refused",
	CodeDuplicateLink:    "duplicate link",
	CodeSlow:             "too slow",
	CodeIdle:             "idle",
	CodeHandshakeTimeout: "handshake too slow",
	CodeShutdown:         "shutdown",
	CodeInternal:         "internal error",
	CodeAgain:            "begin again",
	CodeChanged:          "the source has changed",
	CodeWithdrawn:        "the offer is withdrawn",
	CodeUnreadable:       "the source can't be read",
}

func (c Code) String() string {
	if c < Code(len(codeNames)) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint64(c))
}
