package overlay

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"quicpeer/overlay/messaging"
	"quicpeer/pb"
)

// What a peer says of itself to all others, beside how it is reached: its rooms and its tags. It is in
// its record, so everybody in the network has it, and a peer that comes gets it with the table.

// PeerChanged: a peer of the table, with its ID, is in other Rooms or has other Tags than before, or a
// visitor stays. For a peer that has rooms or tags it comes right behind its PeerJoined.
//
// A program that does not show visitors come and go remembers the IDs of each PeerJoined with Visitor;
// at the PeerChanged without it, such a peer is a member like any other, and its joining can be shown
// then. If its PeerLeft comes first there is nothing to show.
type PeerChanged = messaging.PeerChanged

// describer is the part of a node that describes it to others.
type describer struct{ loop *mailbox }

// SetTags replaces this peer's tags, by which others know it: Peer.Tags and PeerChanged. All of them as
// a JSON object have at most 1 KiB (MaxTags). The others hear of it at once, but not of more than
// one change a second: of several only the last counts. Tags are not kept over restarts, see
// Config.Tags. Errors: ErrTagsTooLong, ErrNotUTF8, ErrClosed.
func (d describer) SetTags(tags map[string]string) error {
	text, err := encodeTags(tags)
	if err != nil {
		return err
	}
	if _, ok := ask(d.loop, tagged{text}); !ok {
		return ErrClosed
	}
	return nil
}

// Tags returns this peer's tags, as Config.Tags or the last SetTags has them. To change one of them:
// take these, change that one, and set them all. Nil: there are none, or the node has ended.
func (d describer) Tags() map[string]string {
	tags, _ := ask(d.loop, tagsQuestion{})
	return tags
}

// tagsQuestion asks for our tags.
type tagsQuestion struct{}

func (tagsQuestion) answer(l *loop) map[string]string { return decodeTags(l.described.Tags) }

// CheckTags reports why tags can't be a peer's: ErrTagsTooLong, ErrNotUTF8.
func CheckTags(tags map[string]string) error {
	_, err := encodeTags(tags)
	return err
}

// tagged is a change of our tags.
type tagged struct{ tags string }

func (t tagged) answer(l *loop) struct{} {
	l.described.Tags = t.tags
	l.step(l.described)
	return struct{}{}
}

// inRooms is a change of the rooms that we are in: valid names, in order, at most pb.MaxRooms.
type inRooms struct{ rooms []string }

func (r inRooms) answer(l *loop) struct{} {
	l.described.Rooms = r.rooms
	l.step(l.described)
	return struct{}{}
}

// encodeTags writes tags as they stand in records: a JSON object of strings, in the order of the keys;
// nothing if there are none.
func encodeTags(tags map[string]string) (string, error) {
	if len(tags) == 0 {
		return "", nil
	}
	for k, v := range tags {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return "", ErrNotUTF8
		}
	}
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(tags); err != nil {
		return "", err
	}
	out := strings.TrimSuffix(text.String(), "\n")
	if len(out) > pb.MaxTags {
		return "", fmt.Errorf("%w: %d bytes, the limit is %d", ErrTagsTooLong, len(out), pb.MaxTags)
	}
	return out, nil
}

// decodeTags reads the tags of a record. Those of programs that write them otherwise are not shown.
func decodeTags(text string) map[string]string {
	var tags map[string]string
	if text == "" || json.Unmarshal([]byte(text), &tags) != nil {
		return nil
	}
	return tags
}
