package transport

// Admit says that the owner has let the peer in. Until then the peer is a stranger: it counts at the
// gate, and may open only the control stream. Nobody reads another one yet, so its window could be
// filled, and the link is closed. Call Admit before sending the frame that tells the peer that it is
// in. (On carried links other streams are allowed, since their diallers send messages at once.)
// On a link that was dialled here, and when called again, Admit does nothing.
func (l *Link) Admit() {
	if l.stranger == nil {
		return
	}
	if l.guarded != nil {
		l.admitted()
	}
	l.stranger.arrived()
}

// isStranger says that the peer may open no streams yet.
func (l *Link) isStranger() bool { return l.guarded != nil && l.strange.Err() == nil }

// guard closes the link if the peer opens a message stream before it is admitted.
func (l *Link) guard() {
	defer close(l.guarded)
	s, err := l.conn.AcceptStream(l.strange)
	switch {
	case err != nil: // it was let in, or has ended
	case l.isStranger():
		l.violation("a message stream of a stranger")
	default:
		l.early = s
	}
}
