package pb

import (
	"bufio"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// FileChunk is how many bytes of a transfer's contents have a hash of their own.
const FileChunk = 1 << 20

// maxFileFrame is the limit of a FileRequest or FileAnswer: a reason, a hash and some numbers.
const maxFileFrame = 1 << 10

// AppendFile adds a FileRequest or FileAnswer to b as one frame.
func AppendFile(b []byte, m proto.Message) ([]byte, error) {
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// ReadFileRequest reads the next frame, a FileRequest, and checks it; its errors are those of [Read]. Its want may be one
// that this version does not know.
func ReadFileRequest(r *bufio.Reader) (*FileRequest, error) {
	m := &FileRequest{}
	if err := readFile(r, m); err != nil {
		return nil, err
	}
	if err := checkFileRequest(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

func checkFileRequest(m *FileRequest) error {
	if err := checkLength("offer", m.GetOffer(), MessageIDSize); err != nil {
		return err
	}
	switch m.GetWant() {
	case FileWant_DATA:
		if m.GetOffset()%FileChunk != 0 || m.GetOffset() > 1<<62 {
			return fmt.Errorf("an offset of %d", m.GetOffset())
		}
	case FileWant_ROOT:
		return checkLength("root", m.GetRoot(), sha256.Size)
	}
	return nil
}

// ReadFileAnswer reads the next frame, a FileAnswer, and checks it; its errors are those of [Read].
func ReadFileAnswer(r *bufio.Reader) (*FileAnswer, error) {
	m := &FileAnswer{}
	if err := readFile(r, m); err != nil {
		return nil, err
	}
	if err := checkAtMost("reason", len(m.GetReason()), MaxReason); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

func readFile(r *bufio.Reader, m proto.Message) error {
	size, err := readSize(r)
	if err != nil {
		return err
	}
	if size > maxFileFrame {
		return fmt.Errorf("%w: its %d bytes exceed the limit of %d", ErrMalformed, size, maxFileFrame)
	}
	b, err := readBytes(r, int(size))
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
