package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"quicpeer/pb"
)

// usageError is the error of a wrong command line: one line that says what is wrong and
// how to correct it.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

func usagef(format string, args ...any) error {
	return &usageError{problem: fmt.Sprintf(format, args...)}
}

// shortened is a value for an error. One as long as a ticket may be one without its beginning.
func shortened(value string) string {
	if len(value) > 64 {
		return value[:8] + "…"
	}
	return value
}

// wanted says what the value of a flag should be.
func wanted(flag *pflag.Flag) string {
	switch flag.Name {
	case "listen":
		return "HOST:PORT, such as :5000"
	case "join":
		return "HOST:PORT, such as 192.168.1.5:5000"
	case "id":
		return fmt.Sprintf("an ID: 1 to %d of letters, digits, '.', '_' and '-'", pb.MaxID)
	case "state-dir", "qlog":
		return "a directory"
	case "metrics":
		return "HOST:PORT, such as 127.0.0.1:9464"
	case "tag":
		return "KEY=VALUE, such as role=db"
	case "network":
		return "a network's name"
	case "on-message":
		return "a command, such as 'notify-send Message'"
	case "accept-files":
		return "ask, never, all, or from=ID,...;max=SIZE;dir=DIR"
	case "upload-limit", "download-limit":
		return "a number of bytes a second, such as 500K or 2M"
	case "log-level":
		return "debug, info, warn, error or critical"
	case "log-format":
		return "text or json"
	case "history-size":
		return "a size of at least 16M, such as 256M or 1G"
	case "history-messages":
		return "a number of messages above 0"
	case "cut-file":
		return "a file"
	}
	switch flag.Value.Type() {
	case "duration":
		return "a duration, such as 500ms, 10s or 2m"
	case "int":
		return "a number"
	case "uint64":
		return "a position of the history: 1, 2, 3 and so on"
	case "string":
		return "a text"
	}
	return "true or false"
}
