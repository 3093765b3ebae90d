package tlv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestTextErrorsNameIDPlaceAndLength(t *testing.T) {
	for text, want := range map[string]Error{
		"5":           {ReasonBadID, "", 0, -1},
		"5A02xx":      {ReasonBadID, "", 0, -1},
		"５9":          {ReasonBadID, "", 0, -1},
		"59":          {ReasonBadLength, "59", 0, -1},
		"590x":        {ReasonBadLength, "59", 0, -1},
		"5902a":       {ReasonTruncated, "59", 0, 2},
		"5902北京6099x": {ReasonTruncated, "60", 6, 99},
		"5901é!":      {ReasonBadID, "", 5, -1},
	} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) || *e != want {
			t.Errorf("%q: %+v, want %+v", text, err, want)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	objects := []Object{{ID: "00", Value: "01"}, {ID: "59", Value: "ភ្នំពញ"}, {ID: "60"}, {ID: "99", Value: strings.Repeat("é", 99)}, {ID: "62", Value: "\xff\xfe"}}
	text, err := Format(objects)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil || len(got) != len(objects) || Count(text) != len(objects) {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	for i := range got {
		if got[i].ID != objects[i].ID || got[i].Value != objects[i].Value {
			t.Errorf("object %d: %+v", i, got[i])
		}
	}
	for _, bad := range []Object{{ID: "5"}, {ID: "5x"}, {ID: "59", Value: strings.Repeat("x", 100)}} {
		if _, err := Format([]Object{bad}); err == nil {
			t.Errorf("%q with %d characters was written", bad.ID, len(bad.Value))
		}
	}
}

func TestBERErrors(t *testing.T) {
	for data, reason := range map[string]string{
		"\x00":                         ReasonBadTag,
		"\x9f":                         ReasonBadTag,
		"\x9f\x81":                     ReasonBadTag,
		"\x9f\x81\x81\x81\x01\x00":     ReasonBadTag, // five bytes
		"\x5a":                         ReasonBadLength,
		"\x5a\x80":                     ReasonBadLength, // indefinite
		"\x5a\x81":                     ReasonBadLength,
		"\x5a\x84\x00\x00\x00\x01\x00": ReasonBadLength,
		"\x5a\x02\x00":                 ReasonTruncated,
		"\x5a\x83\xff\xff\xff\x00":     ReasonTruncated,
	} {
		_, err := ParseBER([]byte(data), 0)
		var e *Error
		if !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%x: %v, want %s", data, err, reason)
		}
	}
}

// TestBERLengthFormsAreKept: a long form where a short one would do is written
// back as it was read.
func TestBERLengthFormsAreKept(t *testing.T) {
	for _, data := range []string{"\x5a\x01x", "\x5a\x81\x01x", "\x5a\x82\x00\x01x", "\x5a\x83\x00\x00\x01x", "\x9f\x26\x81\x80" + strings.Repeat("c", 128), "\xdf\x81\x01\x00", "\x61\x82\x01\x00" + strings.Repeat("b", 256)} {
		nodes, err := ParseBER([]byte(data), 0)
		if err != nil || len(nodes) != 1 {
			t.Fatalf("%.8x: %v", data, err)
		}
		if got := FormatBER(nodes); !bytes.Equal(got, []byte(data)) {
			t.Errorf("%.8x written back as %.8x", data, got)
		}
	}
}

func TestTags(t *testing.T) {
	for tag, want := range map[Tag]bool{0x61: true, 0x5A: false, 0x9F26: false, 0x7F21: true, 0xBF0C: true, 0xDF8101: false} {
		if tag.Constructed() != want {
			t.Errorf("%s: constructed %v", tag, tag.Constructed())
		}
	}
	if s := Tag(0x9F26).String(); s != "9F26" {
		t.Errorf("got %s", s)
	}
}

func FuzzBER(f *testing.F) {
	f.Add([]byte("\x85\x05CPV01\x61\x81\x02\x4f\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := ParseBER(data, 0)
		if err == nil && !bytes.Equal(FormatBER(nodes), data) {
			t.Fatalf("written back as %x", FormatBER(nodes))
		}
	})
}
