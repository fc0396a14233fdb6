package store

import (
	"go.etcd.io/bbolt"
)

// transaction is a transaction of bbolt that keeps the digests.
type transaction struct {
	tx      *bbolt.Tx
	path    string
	digests map[Bucket]digest // of buckets that were used
	changed bool
}

// get returns the value of a key, nil if there is none; it is valid until the next
// change.
func (t *transaction) get(b Bucket, key []byte) ([]byte, error) {
	record := t.tx.Bucket([]byte(b)).Get(key)
	if record == nil {
		return nil, nil
	}
	value, err := unseal(key, record)
	if err != nil {
		return nil, &DamagedError{Path: t.path, Err: err}
	}
	return value, nil
}

// put sets a record, and deletes it where value is nil.
func (t *transaction) put(b Bucket, key, value []byte) error {
	d, err := t.digest(b)
	if err != nil {
		return err
	}
	bucket := t.tx.Bucket([]byte(b))
	old := bucket.Get(key)
	if old == nil && value == nil {
		return nil
	}
	t.changed = true
	if old != nil {
		d = d.remove(old)
	}
	if value == nil {
		t.digests[b] = d
		return bucket.Delete(key)
	}
	record := seal(key, value)
	t.digests[b] = d.add(record)
	return bucket.Put(key, record)
}

// number is a number in about; 0 if there is none.
func (t *transaction) number(key string) (uint64, error) {
	value, err := t.get(about, []byte(key))
	if err != nil || value == nil {
		return 0, err
	}
	n, err := decodeNumber(value)
	if err != nil {
		return 0, &DamagedError{Path: t.path, Err: err}
	}
	return n, nil
}

// fold brings operations of the log into the database, up to a record.
func (t *transaction) fold(c changes, last uint64) error {
	for _, op := range c.sorted() {
		if err := t.put(op.Bucket, op.Key, op.Value); err != nil {
			return err
		}
	}
	t.changed = true
	return putAbout(t.tx, foldedKey, encodeNumber(last))
}

func (t *transaction) digest(b Bucket) (digest, error) {
	if d, ok := t.digests[b]; ok {
		return d, nil
	}
	value, err := t.get(about, []byte(b))
	if err != nil {
		return digest{}, err
	}
	d, err := decodeDigest(value)
	if err != nil {
		return digest{}, &DamagedError{Path: t.path, Err: err}
	}
	t.digests[b] = d
	return d, nil
}

func (t *transaction) putAbout() error {
	for b, d := range t.digests {
		if err := putAbout(t.tx, string(b), d.encode()); err != nil {
			return err
		}
	}
	return putTransaction(t.tx)
}

func putTransaction(tx *bbolt.Tx) error {
	return putAbout(tx, transactionKey, encodeNumber(uint64(tx.ID())))
}

func putAbout(tx *bbolt.Tx, key string, value []byte) error {
	return tx.Bucket([]byte(about)).Put([]byte(key), seal([]byte(key), value))
}
