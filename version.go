package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the linker for a release:
// go build -ldflags "-X main.version=1.2.3".
var version = ""

// development is the version that the source is on the way to.
const development = "0.1.0-dev"

// versionString is the linker's version, that of the module when it was
// installed as one, or else the development version with the commit it is of.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return development
	}
	if v := info.Main.Version; v != "" && v != "(devel)" && !strings.HasPrefix(v, "v0.0.0-") {
		return strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 7 {
			return development + "+" + s.Value[:7]
		}
	}
	return development
}

// software is what other peers are told, for their logs.
func software() string {
	s := "quicpeer/" + versionString()
	return s[:min(len(s), 64)] // pb.MaxSoftware
}

func versionLine() string {
	return fmt.Sprintf("quicpeer %s (%s, %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
