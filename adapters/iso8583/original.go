package iso8583

import (
	"bytes"
	"strings"

	"github.com/tongma/tongma"
)

// Key returns the idempotency key of a message, from DE32, DE33, DE11 and DE7:
// "8583:10344:10000:000123:1122080910". DE32 and DE33 are numbers: the zeros in
// front of them do not count, so that the key can also be made from DE90, which
// fills them up to eleven digits. No DE33 and a DE33 of zeros are the same.
func Key(de32, de33, de11, de7 string) string {
	return "8583:" + strings.TrimLeft(de32, "0") + ":" + strings.TrimLeft(de33, "0") + ":" + de11 + ":" + de7
}

// keyOf returns the key of a message. DE7, DE11 and DE32 must be there.
func keyOf(m *Message) string {
	return Key(string(m.Get(32)), string(m.Get(33)), string(m.Get(11)), string(m.Get(7)))
}

// originalKey returns the key of the message that DE90 names, and refuses a DE90
// that names no request for a payment, or one of another acquirer.
func originalKey(m *Message) (string, error) {
	v := m.Get(90)
	if v == nil {
		return "", missing(90)
	}
	switch string(v[:4]) {
	case "0200", "0201":
	default:
		return "", invalid("DE90", "the original must be a 0200")
	}
	acquirer, forwarder := v[20:31], v[31:42]
	if !bytes.Equal(trimZeros(acquirer), trimZeros(m.Get(32))) {
		return "", invalid("DE90", "the original is another acquirer's")
	}
	return Key(string(acquirer), string(forwarder), string(v[4:10]), string(v[10:20])), nil
}

// originalData returns DE90 for a 0200 that was sent with these fields.
func originalData(de11, de7, de32, de33 string) string {
	const zeros = "00000000000"
	fill := func(s string) string { return zeros[:len(zeros)-min(len(s), len(zeros))] + s }
	return "0200" + de11 + de7 + fill(de32) + fill(de33)
}

func trimZeros(v []byte) []byte { return bytes.TrimLeft(v, "0") }

func missing(id int) error { return fail("request", tongma.FieldMissing, id, 0, "") }

func invalid(name, detail string) error {
	return &tongma.Error{Op: "iso8583: request", Reason: tongma.FieldInvalid, Field: name, Detail: detail}
}
