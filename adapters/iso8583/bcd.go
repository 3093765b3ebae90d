package iso8583

import (
	"github.com/tongma/tongma"
)

// BCDEncoding packs two decimal digits into a byte. It has the methods of an
// encoding.Encoder of moov-io/iso8583, so it can stand in a moov spec in place
// of encoding.BCD and encoding.LBCD. The zero value aligns right, as BCD does.
//
// It is stricter than those: the nibble that fills up an odd number of digits
// must be zero when it is read.
type BCDEncoding struct {
	// Left says where an odd number of digits stands: at the left, filled with a
	// zero behind it ("030" is 03 00), or else at the right (00 30).
	Left bool
}

var (
	// BCD aligns right, as fixed fields do: "643" is 06 43.
	BCD = BCDEncoding{}
	// LBCD aligns left, as variable fields of UnionPay do: "643" is 64 30.
	LBCD = BCDEncoding{Left: true}
)

const notDigit = 0xf0 // no nibble has these bits

// bcdNibble maps an ASCII digit to its nibble.
var bcdNibble = func() (t [256]uint8) {
	for i := range t {
		t[i] = notDigit
	}
	for d := range uint8(10) {
		t['0'+d] = d
	}
	return t
}()

// bcdPair maps a packed byte to its two ASCII digits, or to zero.
var bcdPair = func() (t [256][2]byte) {
	for hi := range byte(10) {
		for lo := range byte(10) {
			t[hi<<4|lo] = [2]byte{'0' + hi, '0' + lo}
		}
	}
	return t
}()

// Encode packs the ASCII digits of src into (len(src)+1)/2 bytes.
func (e BCDEncoding) Encode(src []byte) ([]byte, error) {
	dst := make([]byte, (len(src)+1)/2)
	at, bad := 0, uint8(0)
	rest := src
	if len(src)&1 == 1 && !e.Left {
		bad = bcdNibble[src[0]]
		dst[0], at, rest = bad, 1, src[1:]
	}
	for len(rest) >= 2 {
		hi, lo := bcdNibble[rest[0]], bcdNibble[rest[1]]
		bad |= hi | lo
		dst[at] = hi<<4 | lo
		at++
		rest = rest[2:]
	}
	if len(rest) == 1 {
		hi := bcdNibble[rest[0]]
		bad |= hi
		dst[at] = hi << 4
	}
	if bad&notDigit != 0 {
		return nil, &tongma.Error{Op: "iso8583: bcd", Reason: tongma.FieldUnreadable, Detail: "not a decimal digit"}
	}
	return dst, nil
}

// Decode unpacks length digits from the first (length+1)/2 bytes of src, and
// returns them with the number of bytes that it read.
func (e BCDEncoding) Decode(src []byte, length int) ([]byte, int, error) {
	if length < 0 || length > 2*len(src) {
		return nil, 0, &tongma.Error{Op: "iso8583: bcd", Reason: tongma.FieldUnreadable, Detail: "cut short"}
	}
	read := (length + 1) / 2
	dst := make([]byte, 2*read)
	valid := true
	for i, b := range src[:read] {
		pair := bcdPair[b]
		valid = valid && pair[0] != 0
		dst[2*i], dst[2*i+1] = pair[0], pair[1]
	}
	fill := byte('0')
	if length&1 == 1 && e.Left {
		fill, dst = dst[length], dst[:length]
	} else if length&1 == 1 {
		fill, dst = dst[0], dst[1:]
	}
	if !valid || fill != '0' {
		return nil, 0, &tongma.Error{Op: "iso8583: bcd", Reason: tongma.FieldUnreadable, Detail: "not a decimal digit"}
	}
	return dst, read, nil
}
