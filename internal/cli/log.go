package cli

import (
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// newLog makes the log that is written to w: for people, coloured if they look
// at a terminal, or for programs.
func newLog(w io.Writer, o options, colour bool) *slog.Logger {
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.logLevel}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:      o.logLevel,
		TimeFormat: time.TimeOnly,
		NoColor:    !colour,
	}))
}
