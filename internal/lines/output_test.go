package lines

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestSwitch: what is written while the output is being switched waits, and goes to the new
// stream; after a failure, to the old one.
func TestSwitch(t *testing.T) {
	for _, failure := range []error{nil, errors.New("no terminal")} {
		var before, after bytes.Buffer
		o := NewOutput(&before)
		written := make(chan struct{})
		err := o.Switch(func() (io.Writer, error) {
			go func() {
				defer close(written)
				io.WriteString(o, "a line\n")
			}()
			before.WriteString("switching\n") // by nobody else meanwhile, as the race detector sees
			return &after, failure
		})
		<-written
		want := [2]string{"switching\n", "a line\n"}
		if failure != nil {
			want = [2]string{"switching\na line\n", ""}
		}
		if got := [2]string{before.String(), after.String()}; got != want || err != failure {
			t.Errorf("with %v: %q, %v", failure, got, err)
		}
	}
}
