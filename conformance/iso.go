package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// widths are the fields that the suite sends or reads: a fixed length, or less the
// number of digits in front of a variable one.
var widths = map[int]int{2: -2, 3: 6, 4: 12, 7: 10, 11: 6, 12: 6, 13: 4, 15: 4, 18: 4, 22: 3, 25: 2, 32: -2, 33: -2, 37: 12, 38: 6, 39: 2, 41: 8, 42: 15,
	43: 40, 44: -2, 48: -3, 49: 3, 52: 8, 70: 3, 90: 42, 95: 42}

// fields are the values of a message, by number.
type fields map[int]string

// with returns the fields with others changed; an empty value takes one out.
func (f fields) with(changes fields) fields {
	out := maps.Clone(f)
	for id, value := range changes {
		if out[id] = value; value == "" {
			delete(out, id)
		}
	}
	return out
}

// pack writes a message, whatever is in it: wrong lengths and letters are the
// caller's business.
func (f fields) pack(mti string) []byte {
	var bitmap [16]byte
	var body []byte
	for _, id := range slices.Sorted(maps.Keys(f)) {
		bitmap[(id-1)/8] |= 0x80 >> ((id - 1) % 8)
		if digits := -widths[id]; digits > 0 {
			body = fmt.Appendf(body, "%0*d", digits, len(f[id]))
		}
		body = append(body, f[id]...)
	}
	size := 8
	if binary.BigEndian.Uint64(bitmap[8:]) != 0 {
		bitmap[0] |= 0x80
		size = 16
	}
	return append(append([]byte(mti), bitmap[:size]...), body...)
}

// unpack reads a message of the fields that the suite knows.
func unpack(msg []byte) (mti string, f fields, err error) {
	if len(msg) < 12 {
		return "", nil, errors.New("a reply of fewer than twelve bytes")
	}
	mti, f = string(msg[:4]), fields{}
	bitmap, rest := msg[4:12], msg[12:]
	if bitmap[0]&0x80 != 0 {
		if len(msg) < 20 {
			return mti, nil, errors.New("a reply without its second bitmap")
		}
		bitmap, rest = msg[4:20], msg[20:]
	}
	for id := 2; id <= len(bitmap)*8; id++ {
		if bitmap[(id-1)/8]&(0x80>>((id-1)%8)) == 0 {
			continue
		}
		size, known := widths[id]
		if !known {
			return mti, nil, fmt.Errorf("a reply with DE%d, which was not asked for", id)
		}
		if digits := -size; digits > 0 {
			if size, err = strconv.Atoi(string(rest[:min(digits, len(rest))])); err != nil {
				return mti, nil, fmt.Errorf("a reply whose DE%d has no length", id)
			}
			rest = rest[digits:]
		}
		if size > len(rest) {
			return mti, nil, fmt.Errorf("a reply whose DE%d is cut short", id)
		}
		f[id], rest = string(rest[:size]), rest[size:]
	}
	if len(rest) > 0 {
		return mti, nil, errors.New("a reply with bytes behind its last field")
	}
	return mti, f, nil
}

// tag is one tag of DE48: two digits of tag, three of length, value.
func tag(id, value string) string { return fmt.Sprintf("%s%03d%s", id, len(value), value) }

// isoLink is one TCP link of an acquirer's host.
type isoLink struct {
	conn net.Conn
	t    *Target
}

// isoWithin bounds one exchange. It is longer than the 10 s in which the door
// gives a half frame up.
const isoWithin = 15 * time.Second

func (t *Target) isoDial(ctx context.Context) (*isoLink, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.ISO8583)
	if err != nil {
		return nil, fmt.Errorf("no link: %w", err)
	}
	return &isoLink{conn, t}, conn.SetDeadline(time.Now().Add(isoWithin))
}

func (l *isoLink) close() { _ = l.conn.Close() }

// frame puts the length in front.
func frame(msg []byte) []byte {
	return append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
}

// errHungUp says that the other end closed the link.
var errHungUp = errors.New("the link was closed")

// read reads one reply.
func (l *isoLink) read() (string, fields, error) {
	var head [2]byte
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", nil, errors.New("neither a reply nor the end of the link")
		}
		return "", nil, errHungUp
	}
	msg := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(l.conn, msg); err != nil {
		return "", nil, errors.New("a reply that is cut short")
	}
	if err := l.t.repeats(msg); err != nil {
		return "", nil, err
	}
	return unpack(msg)
}

// send sends raw bytes. That the other end closes while they are still on their
// way is no fault: it shows when reading.
func (l *isoLink) send(raw []byte) { _, _ = l.conn.Write(raw) }

// ask sends one message and reads the reply to it.
func (l *isoLink) ask(mti string, f fields) (fields, error) {
	l.send(frame(f.pack(mti)))
	got, reply, err := l.read()
	if err != nil {
		return nil, err
	}
	if want := mti[:2] + string(mti[2]+1) + "0"; got != want {
		return nil, fmt.Errorf("the reply to %s is a %s", mti, got)
	}
	for _, id := range []int{7, 11, 32} {
		if reply[id] != f[id] {
			return nil, fmt.Errorf("the reply does not echo DE%d", id)
		}
	}
	return reply, nil
}

// signOn signs the link on as north.
func (l *isoLink) signOn() error {
	reply, err := l.ask("0800", l.t.trace().with(fields{70: "001"}))
	if err == nil && reply[39] != "00" {
		err = fmt.Errorf("the sign-on was answered with %s", reply[39])
	}
	return err
}

// echo tells whether the link still serves.
func (l *isoLink) echo() error {
	reply, err := l.ask("0800", l.t.trace().with(fields{32: "", 70: "301"}))
	if err == nil && reply[39] != "00" {
		err = fmt.Errorf("the echo was answered with %s", reply[39])
	}
	return err
}

// trace returns what every message of north has: DE7, 11 and 32.
func (t *Target) trace() fields {
	n := t.number()
	return fields{7: fmt.Sprintf("1122%06d", n/1_000_000%1_000_000), 11: fmt.Sprintf("%06d", n%1_000_000), 32: northDE32}
}

// purchase returns a good 0200 of north for 12.50 CNY.
func (t *Target) purchase(code string) fields {
	return t.trace().with(fields{3: "000000", 4: "000000001250", 22: "032", 25: "00", 41: "T0000001", 42: "898100012340001",
		48: tag("01", code) + tag("05", "C"), 49: "156"})
}

// observeISO reads what a reply says: DE39, and in DE44 the reason.
func observeISO(reply fields) (Observation, error) {
	o := Observation{DE39: reply[39]}
	if o.DE39 == "00" {
		return o, errors.New("it was approved")
	}
	code, _, _ := strings.Cut(reply[44], " ")
	r, ok := tongma.ParseReason(code)
	if !ok {
		return o, fmt.Errorf("DE44 %q names no reason of the catalogue", reply[44])
	}
	o.Reason = r
	return o, nil
}
