package cli

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// noHomeError says that the user's state directory is unknown.
type noHomeError struct{ variable string }

func (e *noHomeError) Error() string {
	return fmt.Sprintf("there is no place for the state: %s is not set", e.variable)
}

// openState opens the state that the options ask for, or returns nil if they ask for none.
func openState(o options, getenv func(string) string) (*overlay.State, error) {
	dir, err := stateDirOf(o, getenv)
	if dir == "" || err != nil {
		return nil, err
	}
	return overlay.OpenState(dir, o.id)
}

// stateDirOf is the state directory that the options name; empty: none.
func stateDirOf(o options, getenv func(string) string) (string, error) {
	if o.stateDir != "" || o.id == "" {
		return o.stateDir, nil
	}
	base, err := userStateDir(runtime.GOOS, getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "quicpeer", dirName(o.id)), nil
}

// userStateDir returns the directory where programs keep what should survive a restart:
// the XDG state directory, or its equivalent on other systems.
func userStateDir(goos string, getenv func(string) string) (string, error) {
	if goos == "windows" {
		if dir := getenv("LocalAppData"); dir != "" {
			return dir, nil
		}
		return "", &noHomeError{"%LocalAppData%"}
	}
	home := getenv("HOME")
	if goos == "darwin" {
		if home == "" {
			return "", &noHomeError{"$HOME"}
		}
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the standard says to ignore relative ones
		return dir, nil
	}
	if home == "" {
		return "", &noHomeError{"$HOME"}
	}
	return filepath.Join(home, ".local", "state"), nil
}

// dirName returns the directory name for an ID. An ID may be "..", which would name
// another directory.
func dirName(id certs.ID) string {
	if strings.Trim(string(id), ".") == "" {
		return strings.ReplaceAll(string(id), ".", "%2E")
	}
	return string(id)
}
