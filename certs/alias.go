package certs

import (
	"encoding/base32"
	"strings"
)

// aliasMark divides an alias. No ID contains it.
const aliasMark = "~"

// Alias is the name of a peer where its ID belongs to another key: the ID, and four characters of its
// key, "bob~k3j5". It is for people, and proves nothing: a key with the same four is found in a second.
func Alias(id ID, key PublicKey) ID {
	tag := KeyTag(key)
	return id + aliasMark + ID(strings.ToLower(base32.StdEncoding.EncodeToString(tag[:])[:4]))
}

// Claimed is the ID that the peer of an alias itself claims; of an ID it is the ID.
func (id ID) Claimed() ID {
	claimed, _, _ := strings.Cut(string(id), aliasMark)
	return ID(claimed)
}

// AsAlias is the alias that a name is; empty if it is an ID.
func (id ID) AsAlias() string {
	if id == id.Claimed() {
		return ""
	}
	return string(id)
}

// ParseName checks the name of a peer: an ID, or an alias.
func ParseName(s string) (ID, error) {
	claimed, tag, alias := strings.Cut(s, aliasMark)
	id, err := ParseID(claimed)
	if alias && err == nil && (len(tag) != 4 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz234567") != "") {
		_, err = ParseID(s) // the error names the character
	}
	if err != nil {
		return "", err
	}
	return id + ID(s[len(claimed):]), nil
}
