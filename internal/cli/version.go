package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// development is the version that this source will become.
const development = "0.1.0-dev"

// versionOf returns the version set by the linker; else that of the module, if it was
// installed as one; else the development version with its commit.
func versionOf(linked string) string {
	if linked != "" {
		return linked
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

// software is how the program introduces itself to other peers, for their logs.
func software(version string) string {
	s := "quicpeer/" + version
	return s[:min(len(s), 64)] // pb.MaxSoftware
}

func versionLine(version string) string {
	return fmt.Sprintf("quicpeer %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
