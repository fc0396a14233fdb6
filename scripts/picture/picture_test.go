package main

import (
	"os"
	"testing"
)

func TestPictureIsCurrent(t *testing.T) {
	got, err := picture()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/chat.svg")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/chat.svg does not show the chat as it is now: run make picture, and look at it")
	}
}
