package iso8583

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	moov "github.com/moov-io/iso8583"

	"github.com/tongma/tongma"
)

// sample is one message that other software wrote: npm iso_8583 2.6.7.
type sample struct {
	name  string
	frame []byte // with the two bytes of length
}

// samples reads testdata/samples.txt: a name, then hex.
func samples(t testing.TB) []sample {
	t.Helper()
	text, err := os.ReadFile("testdata/samples.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	for line := range strings.Lines(string(text)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		frame, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, sample{name, frame})
	}
	return out
}

func sampleNamed(t testing.TB, name string) []byte {
	t.Helper()
	for _, s := range samples(t) {
		if s.name == name {
			return s.frame
		}
	}
	t.Fatalf("no sample %q", name)
	return nil
}

func TestSamplesOfOtherSoftwareReadAsTheyWereWritten(t *testing.T) {
	for _, s := range samples(t) {
		if got := int(s.frame[0])<<8 | int(s.frame[1]); got != len(s.frame)-2 {
			t.Fatalf("%s: announces %d bytes, has %d", s.name, got, len(s.frame)-2)
		}
	}
	var m Message
	if err := m.Unpack(sampleNamed(t, "0200")[2:]); err != nil {
		t.Fatal(err)
	}
	want := map[int]string{2: "6259960012345678901", 3: "000000", 4: "000000012345", 7: "1122080910", 11: "000123",
		12: "160910", 13: "1122", 18: "5411", 19: "156", 22: "031", 25: "00", 32: "00010344", 33: "00010000",
		37: "632616000123", 41: "T0000001", 42: "898100012340001",
		43: "SHANGHAI NOODLE HOUSE    SHANGHAI     CN", 48: "0102QR020512345", 49: "156", 62: "6259960012345678901"}
	if m.MTI() != "0200" {
		t.Errorf("MTI %s", m.MTI())
	}
	for id := 2; id <= maxField; id++ {
		if m.Text(id) != want[id] {
			t.Errorf("DE%d is %q, want %q", id, m.Text(id), want[id])
		}
	}
	if err := m.Unpack(sampleNamed(t, "0420")[2:]); err != nil {
		t.Fatal(err)
	}
	if got := m.Text(90); got != "020000012311220809100000001034400000010000" {
		t.Errorf("DE90 is %q", got)
	}
	if got := hex.EncodeToString(m.Get(128)); got != "0102030405060708" {
		t.Errorf("DE128 is %s", got)
	}
}

// short returns msg with an empty second bitmap taken out, which is how the
// codec writes what it has read.
func short(msg []byte) []byte {
	if len(msg) < 20 || msg[4]&0x80 == 0 || !bytes.Equal(msg[12:20], make([]byte, 8)) {
		return msg
	}
	out := append(bytes.Clone(msg[:12]), msg[20:]...)
	out[4] &^= 0x80
	return out
}

func TestPackingWhatWasUnpackedGivesTheSameBytes(t *testing.T) {
	for _, s := range samples(t) {
		var m Message
		if err := m.Unpack(s.frame[2:]); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got, err := m.Append(nil)
		if err != nil || !bytes.Equal(got, short(s.frame[2:])) {
			t.Errorf("%s: %x, %v\nwant %x", s.name, got, err, short(s.frame[2:]))
		}
	}
}

// crossCheck holds the codec to moov-io/iso8583 reading the same table: the same
// fields, and the same bytes when written again.
func crossCheck(t *testing.T, msg []byte) {
	t.Helper()
	var m Message
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("ours: %v", err)
	}
	theirs := moov.NewMessage(houseA)
	if err := theirs.Unpack(msg); err != nil {
		t.Fatalf("moov: %v", err)
	}
	for id := 2; id <= maxField; id++ {
		got, _ := theirs.GetBytes(id)
		if !bytes.Equal(got, m.Get(id)) {
			t.Fatalf("DE%d: ours %q, moov %q", id, m.Get(id), got)
		}
	}
	ours, err := m.Append(nil)
	if err != nil {
		t.Fatalf("ours: %v", err)
	}
	packed, err := theirs.Pack()
	if err != nil || !bytes.Equal(ours, packed) {
		t.Fatalf("ours %x\nmoov %x, %v", ours, packed, err)
	}
}

func TestCodecAndMoovAgreeOnSamples(t *testing.T) {
	for _, s := range samples(t) {
		crossCheck(t, s.frame[2:])
	}
}

// filler returns a value of the field that is as long as given.
func filler(r row, size int) []byte {
	switch r.class {
	case classXN:
		return append([]byte("C"), bytes.Repeat([]byte("7"), size-1)...)
	case classAN:
		return bytes.Repeat([]byte("a"), size)
	case classANS:
		return bytes.Repeat([]byte("~"), size)
	case classB:
		return bytes.Repeat([]byte{0xfe}, size)
	}
	return bytes.Repeat([]byte("9"), size)
}

func TestCodecAndMoovAgreeOnEveryFieldAtItsShortestAndLongest(t *testing.T) {
	for _, f := range Fields()[1:] {
		r := house.rows[f.ID]
		for _, size := range []int{1, int(r.max)} {
			if r.digits == 0 && size != int(r.max) {
				continue
			}
			var m Message
			m.Reset("0200")
			m.Set(f.ID, filler(r, size))
			msg, err := m.Append(nil)
			if err != nil {
				t.Fatalf("DE%d: %v", f.ID, err)
			}
			crossCheck(t, msg)
		}
	}
}

func TestFieldOutsideItsLengthIsNotPacked(t *testing.T) {
	for _, f := range Fields()[1:] {
		r := house.rows[f.ID]
		for _, size := range []int{0, int(r.max) - 1, int(r.max) + 1} {
			if r.digits != 0 && size == int(r.max)-1 {
				continue
			}
			var m Message
			m.Reset("0200")
			m.Set(f.ID, filler(r, max(size, 1))[:size])
			if got, err := m.Append([]byte("kept")); err == nil || string(got) != "kept" {
				t.Errorf("DE%d of %d characters: %q, %v", f.ID, size, got, err)
			}
		}
	}
}

func wantError(t *testing.T, err error, reason tongma.Reason, field string, offset int) {
	t.Helper()
	var e *tongma.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %v", err, reason)
	}
	if e.Reason != reason || e.Field != field || e.Offset != offset {
		t.Fatalf("got %v %s at %d (%v), want %v %s at %d", e.Reason, e.Field, e.Offset, e, reason, field, offset)
	}
}

func TestMessageCutAtAnyByteIsRefused(t *testing.T) {
	for _, s := range samples(t) {
		msg := s.frame[2:]
		for cut := range msg {
			var m Message
			if err := m.Unpack(msg[:cut]); tongma.ReasonOf(err) != tongma.FieldUnreadable {
				t.Fatalf("%s cut at %d: %v", s.name, cut, err)
			}
		}
	}
}

func TestEveryFaultIsNamedWithFieldAndOffset(t *testing.T) {
	msg := short(sampleNamed(t, "0200")[2:])
	at := func(i int, c byte) []byte {
		out := bytes.Clone(msg)
		out[i] = c
		return out
	}
	tests := []struct {
		name   string
		msg    []byte
		reason tongma.Reason
		field  string
		offset int
	}{
		{"junk behind the last field", append(bytes.Clone(msg), "JUNK"...), tongma.TrailingBytes, "", len(msg)},
		{"letter in the message type", at(1, 'x'), tongma.FieldUnreadable, "MTI", 0},
		{"letter in DE3", at(33, 'x'), tongma.FieldUnreadable, "DE3", 33},
		{"letter in the length of DE2", at(12, 'x'), tongma.FieldUnreadable, "DE2", 12},
		{"DE2 longer than its most", at(12, '2'), tongma.FieldUnreadable, "DE2", 12},
		{"DE35 (track 2) announced", at(8, msg[8]|0x20), tongma.FieldUnknown, "DE35", 8},
		{"DE1 set, but no second bitmap", at(4, msg[4]|0x80), tongma.FieldUnknown, "DE67", 12},
		{"nothing", nil, tongma.FieldUnreadable, "MTI", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m Message
			err := m.Unpack(tt.msg)
			if tt.name == "DE1 set, but no second bitmap" { // whichever unknown field comes first
				if tongma.ReasonOf(err) != tongma.FieldUnknown {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, tt.reason, tt.field, tt.offset)
		})
	}
	third := append([]byte("0800\x80\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00"), make([]byte, 8)...)
	wantError(t, new(Message).Unpack(third), tongma.FieldUnknown, "DE65", 12)
	wantError(t, new(Message).Unpack([]byte("0800\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00")), tongma.FieldUnreadable, "DE1", 12)
}

func TestRefusedMessageKeepsWhatWasReadBeforeTheFault(t *testing.T) {
	msg := short(sampleNamed(t, "0200")[2:])
	var m Message
	if err := m.Unpack(append(bytes.Clone(msg), 'x')); err == nil || m.Text(11) != "000123" {
		t.Fatalf("DE11 %q, %v", m.Text(11), err)
	}
	bad := bytes.Clone(msg)
	bad[12+21] = 'x' // DE3
	if err := m.Unpack(bad); err == nil || m.Has(11) || !m.Has(2) {
		t.Fatalf("DE11 %v, DE2 %v, %v", m.Has(11), m.Has(2), err)
	}
}

func TestTableRowsTheCodecCannotSpeakAreRefusedAtTheStart(t *testing.T) {
	if _, err := derive(moov.Spec87); err == nil {
		t.Fatal("a foreign table was taken for one of this dialect")
	}
}

func TestErrorTextsCarryNoContent(t *testing.T) {
	msg := short(sampleNamed(t, "0200")[2:])
	for i := range msg {
		for _, c := range []byte{0, 'x', 0xff} {
			bad := bytes.Clone(msg)
			bad[i] = c
			err := new(Message).Unpack(bad)
			if err != nil && strings.Contains(err.Error(), "62599") {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.frame[2:])
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var m Message
		if err := m.Unpack(msg); err != nil {
			return
		}
		got, err := m.Append(nil)
		if len(msg) > MaxMessage {
			return
		}
		if err != nil || !bytes.Equal(got, short(msg)) {
			t.Fatalf("%x, %v\nwant %x", got, err, short(msg))
		}
		crossCheck(t, msg)
	})
}

// FuzzRequest reads what a stranger may send as far as the question to the
// switch: no panic, and a question that is within bounds.
func FuzzRequest(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.frame[2:])
	}
	f.Add([]byte("0200\x30\x20\x00\x01\x00\x01\x80\x00" + "000000" + "000000012345" + "000123" + "0800010344" + "898100012340001" + "156"))
	if full, err := purchase0200().Append(nil); err == nil {
		f.Add(full)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var m, reply Message
		if err := m.Unpack(msg); err != nil {
			return
		}
		k := kindOf(m.mti)
		if k == kindResponse {
			return
		}
		r, err := requestOf(&m, k, Decimals{360: 0})
		if err != nil && tongma.ReasonOf(err) == tongma.Internal {
			t.Fatalf("a fault without a name: %v", err)
		}
		if err == nil && r.Check() != nil {
			t.Fatalf("%+v: %v", r, r.Check())
		}
		reply.refuse(&m, tongma.ReasonOf(err), whereOf(err))
		if _, err := reply.Append(nil); err != nil {
			t.Fatalf("the refusal cannot be packed: %v", err)
		}
		reply.answer(&m, k, &tongma.Answer{Status: tongma.Paid, At: 1, SchemeRef: strings.Repeat("r", 64)}, "1122")
		if _, err := reply.Append(nil); err != nil {
			t.Fatalf("the answer cannot be packed: %v", err)
		}
	})
}
