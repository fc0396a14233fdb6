package jsonl

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// The events of the JSON mode, field by field as README.md promises them.

type head struct {
	Event string `json:"event"`
	Time  string `json:"time"`
}

type readyEvent struct {
	head    `json:",inline"`
	ID      certs.ID `json:"id"`
	Key     string   `json:"key"`
	Listen  []string `json:"listen"`
	Version string   `json:"version"`
}

type joinedEvent struct {
	head `json:",inline"`
	ID   certs.ID `json:"id"`
	Key  string   `json:"key"`
	Via  certs.ID `json:"via"`
}

type peerLeftEvent struct {
	head   `json:",inline"`
	ID     certs.ID       `json:"id"`
	Reason overlay.Reason `json:"reason"`
}

type messageEvent struct {
	head    `json:",inline"`
	Message string       `json:"message"`
	From    certs.ID     `json:"from"`
	To      certs.ID     `json:"to"`
	Body    string       `json:"body"`
	SentAt  string       `json:"sent_at"`
	Path    overlay.Path `json:"path"`
}

type sentEvent struct {
	head    `json:",inline"`
	Message string   `json:"message"`
	To      certs.ID `json:"to"`
	Ref     string   `json:"ref"`
}

type deliveredEvent struct {
	head    `json:",inline"`
	Message string       `json:"message"`
	To      certs.ID     `json:"to"`
	Ref     string       `json:"ref"`
	Path    overlay.Path `json:"path"`
	RTT     *float64     `json:"rtt_ms"`
}

type bufferedEvent struct {
	head    `json:",inline"`
	Message string   `json:"message"`
	To      certs.ID `json:"to"`
	Ref     string   `json:"ref"`
	Reason  string   `json:"reason"`
}

type failedEvent struct {
	head    `json:",inline"`
	Message string   `json:"message"`
	To      certs.ID `json:"to"`
	Ref     string   `json:"ref"`
	Error   string   `json:"error"`
}

type joinEvent struct {
	head    `json:",inline"`
	Address string   `json:"address"`
	ID      certs.ID `json:"id"`
	Ref     string   `json:"ref"`
}

type tableEvent struct {
	head  `json:",inline"`
	Peers []tableRow `json:"peers"`
	Ref   string     `json:"ref"`
}

type tableRow struct {
	ID        certs.ID          `json:"id"`
	State     overlay.PeerState `json:"state"`
	Direct    bool              `json:"direct"`
	Via       certs.ID          `json:"via"`
	Addresses []string          `json:"addresses"`
	RTT       *float64          `json:"rtt_ms"`
	Key       string            `json:"key"`
}

type bufferEvent struct {
	head     `json:",inline"`
	Messages []bufferRow `json:"messages"`
	Ref      string      `json:"ref"`
}

type bufferRow struct {
	To    certs.ID `json:"to"`
	Count int      `json:"count"`
	Bytes int      `json:"bytes"`
	Since string   `json:"since"` // when the oldest was sent
}

type errorEvent struct {
	head  `json:",inline"`
	Error string `json:"error"`
	Input string `json:"input"`
	Ref   string `json:"ref"`
}

type leftEvent struct {
	head        `json:",inline"`
	Undelivered int    `json:"undelivered"`
	Ref         string `json:"ref"` // of the command leave, if that was the reason
}

// event is e as it is written; nil for an event that this mode doesn't know.
func (j *Speaker) event(event overlay.Event) any {
	switch e := event.(type) {
	case overlay.Ready:
		return readyEvent{j.head("ready"), e.ID, e.Key.String(), e.Listen, j.version}
	case overlay.PeerJoined:
		return joinedEvent{j.head("peer_joined"), e.ID, e.Key.String(), e.Via}
	case overlay.PeerLeft:
		return peerLeftEvent{j.head("peer_left"), e.ID, e.Reason}
	case overlay.Message:
		return messageEvent{j.head("message"), e.ID.String(), e.From, e.To, e.Body, timestamp(e.SentAt), e.Path}
	case overlay.Sent:
		return sentEvent{j.head("sent"), e.Message.String(), e.To, e.Ref}
	case overlay.Delivered:
		return deliveredEvent{j.head("delivered"), e.Message.String(), e.To, e.Ref, e.Path, rtt(e.RTT)}
	case overlay.Buffered:
		return bufferedEvent{j.head("buffered"), e.Message.String(), e.To, e.Ref, e.Reason}
	case overlay.Failed:
		return failedEvent{j.head("failed"), e.Message.String(), e.To, e.Ref, e.Error}
	}
	return nil
}

func (j *Speaker) table(peers []overlay.Peer, ref string) tableEvent {
	rows := make([]tableRow, 0, len(peers))
	for _, p := range peers {
		rows = append(rows, tableRow{p.ID, p.State, p.Direct, p.Via, p.Addresses, rtt(p.RTT), p.Key.String()})
	}
	return tableEvent{j.head("table"), rows, ref}
}

func (j *Speaker) buffer(waiting []overlay.Waiting, ref string) bufferEvent {
	rows := make([]bufferRow, 0, len(waiting))
	for _, w := range waiting {
		rows = append(rows, bufferRow{w.To, w.Count, w.Bytes, timestamp(w.Since)})
	}
	return bufferEvent{j.head("buffer"), rows, ref}
}

func (j *Speaker) head(event string) head { return head{event, timestamp(j.now())} }

// timestamp is RFC 3339 in UTC, always with a fraction. A time that it can't
// express, by a sender's strange clock, becomes the epoch.
func timestamp(t time.Time) string {
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		t = time.Unix(0, 0).UTC()
	}
	return t.Format("2006-01-02T15:04:05.000000Z")
}

// rtt is a round trip in milliseconds, nil (null) where there is none.
func rtt(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	ms := float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// What the command net says: how this peer can be reached, how it reaches others, and
// why not better.

type netEvent struct {
	head      `json:",inline"`
	NAT       overlay.NAT  `json:"nat"`
	Addresses []netAddress `json:"addresses"`
	PortMap   string       `json:"port_map"`
	Peers     []netPeer    `json:"peers"`
	Ref       string       `json:"ref"`
}

type netAddress struct {
	Address string         `json:"address"`
	Source  overlay.Source `json:"source"`
	By      []certs.ID     `json:"by"`
}

type netPeer struct {
	ID      certs.ID    `json:"id"`
	How     overlay.How `json:"how"`
	Address string      `json:"address"`
	Since   *string     `json:"since"`
	Via     certs.ID    `json:"via"`
	Behind  bool        `json:"behind_nat"`
	Tries   int         `json:"tries"`
	Error   string      `json:"error"`
	Next    *string     `json:"next_try"`
}

func (j *Speaker) net(n overlay.Net, ref string) netEvent {
	e := netEvent{j.head("net"), n.NAT, []netAddress{}, n.PortMap, []netPeer{}, ref}
	for _, a := range n.Addresses {
		e.Addresses = append(e.Addresses, netAddress{a.Address, a.Source, append([]certs.ID{}, a.By...)})
	}
	for _, w := range n.Peers {
		p := netPeer{ID: w.ID, How: w.How, Address: w.Address, Via: w.Via, Behind: w.Behind, Tries: w.Tries, Error: w.Error}
		if !w.Since.IsZero() {
			since := timestamp(w.Since)
			p.Since = &since
		}
		if !w.Next.IsZero() {
			next := timestamp(w.Next)
			p.Next = &next
		}
		e.Peers = append(e.Peers, p)
	}
	return e
}
