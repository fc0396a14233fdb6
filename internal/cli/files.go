package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"quicpeer/internal/service"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// fileOptions are those of files.
type fileOptions struct {
	accept           files.Rule
	upload, download int64 // bytes a second; 0: no limit
}

// fileValues are the same as given.
type fileValues struct{ accept, upload, download string }

func (v *fileValues) declare(f *pflag.FlagSet) {
	f.StringVar(&v.accept, "accept-files", "ask", "")
	f.StringVar(&v.upload, "upload-limit", "", "")
	f.StringVar(&v.download, "download-limit", "", "")
}

// check validates them.
func (v *fileValues) check(o *fileOptions, given map[string]string) (err error) {
	if o.accept, err = files.ParseRule(v.accept); err != nil {
		return usagef("%s=%q can't be used: %v", given["accept-files"], v.accept, err)
	}
	for _, limit := range []struct {
		name, text string
		to         *int64
	}{{"upload-limit", v.upload, &o.upload}, {"download-limit", v.download, &o.download}} {
		if limit.text == "" {
			continue
		}
		if *limit.to, err = files.ParseSize(limit.text); err != nil {
			return usagef("%s: %v, for the bytes a second", given[limit.name], err)
		}
	}
	return nil
}

// serviceOf returns a service that runs the node, with its files, and what closes these, once.
func (s *session) serviceOf(n node) (running *service.Service, end func(), err error) {
	running = service.New(n, n.History(), s.version, s.stateDir())
	real, ok := n.(*overlay.Node)
	if !ok { // that of a test
		return running, func() {}, nil
	}
	cfg := files.Config{
		Node: real, Accept: s.options.files.accept, Up: s.options.files.upload, Down: s.options.files.download, Tell: running.Tell, Log: s.log,
	}
	if s.state != nil {
		cfg.Dir = filepath.Join(s.state.Dir, "files")
	}
	shared, err := files.Start(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the files that were offered: %w", err)
	}
	running.Use(shared)
	s.files = shared
	return running, func() {
		if err := shared.Close(); err != nil {
			s.log.Warn("closing files", "error", err)
		}
	}, nil
}
