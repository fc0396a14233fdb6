package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// underway are the transfers whose bytes come or go, for the row above the line, in the order of their beginning.
type underway []pulse

// pulse is the last that was told of a transfer.
type pulse struct {
	files.Progress
	at time.Time
}

const (
	maxUnderway = 100 // transfers, a guess: a row has room for two or three; others are not in it
	// silence is how long nothing may be told of a transfer that is in the row: a slow one tells of each MiB.
	silence = time.Minute
)

// note takes an event of a transfer.
func (u *underway) note(event overlay.Event, now time.Time) {
	switch e := event.(type) {
	case files.Progress:
		i := slices.IndexFunc(*u, func(p pulse) bool { return p.File == e.File && p.Peer == e.Peer })
		switch {
		case i >= 0:
			(*u)[i] = pulse{e, now}
		case len(*u) < maxUnderway:
			*u = append(*u, pulse{e, now})
		}
	case files.Waits:
		u.end(e.File, e.Peer)
	case files.Done:
		u.end(e.File, e.Peer)
	case files.Ended:
		u.end(e.File, e.Peer)
	}
}

// end takes a transfer with one peer out, or with all.
func (u *underway) end(file int, peer certs.ID) {
	*u = slices.DeleteFunc(*u, func(p pulse) bool { return p.File == file && (peer == "" || p.Peer == peer) })
}

// forget takes out those that are silent.
func (u *underway) forget(now time.Time) {
	*u = slices.DeleteFunc(*u, func(p pulse) bool { return now.Sub(p.at) >= silence })
}

// row says how they stand.
func (u underway) row(width int) string {
	const most = 30 // columns of a name
	var parts []string
	for _, p := range u {
		part := []string{"↓"}
		if p.Ours {
			part[0] = "↑"
		}
		part = append(part, fmt.Sprint(p.File), clip(p.Name, most))
		if p.Ours {
			part = append(part, "to", string(p.Peer))
		}
		part = append(part, chat.Percent(p.Bytes, p.Of))
		if p.Rate > 0 {
			part = append(part, chat.Size(p.Rate)+"/s")
		}
		if p.Left > 0 {
			part = append(part, chat.Left(p.Left), "left")
		}
		parts = append(parts, strings.Join(part, " "))
	}
	return ansi.Truncate(strings.Join(parts, " · "), width, "…")
}
