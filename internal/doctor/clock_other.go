//go:build !linux

package doctor

import "time"

func clockNow() Clock { return Clock{Now: time.Now(), Hidden: "not on this system"} }
