package iso8583

import (
	"bytes"
	"testing"

	"github.com/moov-io/iso8583/encoding"

	"github.com/tongma/tongma"
)

var (
	_ encoding.Encoder = BCD
	_ encoding.Encoder = encoder{}
)

func TestBCDAgreesWithMoov(t *testing.T) {
	pairs := []struct {
		ours   BCDEncoding
		theirs encoding.Encoder
	}{{BCD, encoding.BCD}, {LBCD, encoding.LBCD}}
	digits := []byte("7312345678901234567890")
	for _, p := range pairs {
		for size := range len(digits) + 1 {
			want, err := p.theirs.Encode(bytes.Clone(digits[:size]))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.ours.Encode(digits[:size])
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("left %v: %s is %x, moov says %x, %v", p.ours.Left, digits[:size], got, want, err)
			}
			back, read, err := p.ours.Decode(append(got, 0xff), size)
			if err != nil || read != len(got) || !bytes.Equal(back, digits[:size]) {
				t.Fatalf("left %v: %x reads as %q, %d bytes, %v", p.ours.Left, got, back, read, err)
			}
		}
	}
}

func TestBCDRefusesWhatIsNotDigits(t *testing.T) {
	for _, e := range []BCDEncoding{BCD, LBCD} {
		for _, s := range []string{"x", "1x", "x1", "12x", "1 3", "12:4", "\x00"} {
			if got, err := e.Encode([]byte(s)); tongma.ReasonOf(err) != tongma.FieldUnreadable {
				t.Errorf("left %v: %q packs as %x", e.Left, s, got)
			}
		}
		for _, c := range [][]byte{{0x1a}, {0xa1}, {0xff}} {
			if got, _, err := e.Decode(c, 2); tongma.ReasonOf(err) != tongma.FieldUnreadable {
				t.Errorf("left %v: %x reads as %q", e.Left, c, got)
			}
		}
		for _, size := range []int{-1, 3, 1 << 40} {
			if _, _, err := e.Decode([]byte{0x12}, size); err == nil {
				t.Errorf("left %v: %d digits out of one byte", e.Left, size)
			}
		}
		if _, _, err := e.Decode([]byte{0x99, 0x99}, 3); err == nil {
			t.Errorf("left %v: the filling nibble may be anything", e.Left)
		}
	}
}
