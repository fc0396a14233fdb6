package portmap

import (
	"context"
	"net/netip"
	"testing"
)

func TestProbe(t *testing.T) {
	for name, test := range map[string]struct {
		answer   []byte
		by       string
		external string
		behind   bool
	}{
		"NAT-PMP":         {[]byte{0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7}, "NAT-PMP", "203.0.113.7", false},
		"behind another":  {[]byte{0, 128, 0, 0, 0, 0, 0, 9, 10, 0, 0, 7}, "NAT-PMP", "10.0.0.7", true},
		"PCP alone":       {[]byte{2, 128, 0, 1, 0, 0, 0, 0}, "PCP", "", false},
		"NAT-PMP refuses": {[]byte{0, 128, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0}, "", "", false},
		"short":           {[]byte{0, 128}, "", "", false},
		"empty":           {[]byte{}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			ip := router(t, "127.0.0.11", func(request []byte) []byte {
				if len(request) != 2 || request[0] != 0 || request[1] != 0 {
					t.Errorf("asked % x", request)
				}
				return test.answer
			})
			by, external, err := probePMP(t.Context(), netip.AddrPortFrom(ip, controlPort))
			want, _ := netip.ParseAddr(test.external)
			if by != test.by || external != want || (err == nil) != (test.by != "") {
				t.Errorf("got %q, %v, %v", by, external, err)
			}
			if (Found{External: external}).Behind() != test.behind {
				t.Errorf("behind another is %v", !test.behind)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := probePMP(ctx, netip.MustParseAddrPort("127.0.0.12:5351")); err == nil {
		t.Error("no router, and no error")
	}
}
