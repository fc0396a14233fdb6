package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"quicpeer/certs"
)

// inspect reads all of a database and checks it, without bbolt. number is its format.
func inspect(path string) (p *pages, number uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if p, err = readPages(f); err != nil {
		return nil, 0, damage(path, err)
	}
	buckets, err := p.buckets()
	if err != nil {
		return nil, 0, damage(path, err)
	}
	digests, number, err := p.about(path, buckets[string(about)])
	if err != nil {
		return nil, 0, err
	}
	if len(buckets) != len(contentsOf(number))+1 {
		return nil, 0, damage(path, errors.New("there are other buckets than were made"))
	}
	for _, b := range contentsOf(number) {
		found, err := p.digest(b, buckets[string(b)])
		if err == nil && found != digests[b] {
			err = errors.New("there are other records than were written")
		}
		if err != nil {
			return nil, 0, damage(path, fmt.Errorf("bucket %s: %w", b, err))
		}
	}
	return p, number, nil
}

// about reads the bucket that describes the others. A database of another format
// is not damaged, so this is checked before what depends on it.
func (p *pages) about(path string, bucket []byte) (digests map[Bucket]digest, number uint64, err error) {
	if bucket == nil {
		return nil, 0, damage(path, errors.New("it has no format"))
	}
	var transaction uint64
	digests = make(map[Bucket]digest)
	err = p.records(bucket, func(key, record []byte) error {
		value, err := unseal(key, record)
		if err != nil {
			return err
		}
		switch name := string(key); {
		case name == formatKey:
			number, err = decodeNumber(value)
		case name == transactionKey:
			transaction, err = decodeNumber(value)
		case isContent(name):
			digests[Bucket(name)], err = decodeDigest(value)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, 0, damage(path, fmt.Errorf("bucket %s: %w", about, err))
	case number == 0:
		return nil, 0, damage(path, errors.New("it has no format"))
	case number < oldFormat || number > format:
		return nil, 0, formatError(path, number, format)
	case transaction != p.txid:
		return nil, 0, damage(path, errors.New("its first pages don't belong to the others"))
	case len(digests) != len(contentsOf(number)):
		return nil, 0, damage(path, errors.New("it has no digests"))
	}
	return digests, number, nil
}

// digest reads a bucket and checks each record.
func (p *pages) digest(b Bucket, bucket []byte) (d digest, err error) {
	if bucket == nil {
		return d, errors.New("it is missing")
	}
	err = p.records(bucket, func(key, record []byte) error {
		value, err := unseal(key, record)
		if err != nil {
			return err
		}
		d = d.add(record)
		if b != marks {
			return nil
		}
		if len(key) != len(certs.PublicKey{}) {
			return errors.New("a mark has no sender")
		}
		_, _, err = decodeMark(value)
		return err
	})
	return d, err
}

// damage says that a file is damaged, unless it could not be read.
func damage(path string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	return &DamagedError{Path: path, Err: err}
}

func formatError(path string, number, known uint64) error {
	if number > known {
		return fmt.Errorf("%s is of format %d, of a newer program; this one knows format %d", path, number, known)
	}
	return fmt.Errorf("%s is of format %d, and this program knows format %d only", path, number, known)
}
