package iso8583

import (
	"strconv"

	"github.com/tongma/tongma"
)

// Tags of DE48: two digits of tag, three digits of length, value.
const (
	tagCode         = 1 // the code as it was scanned
	tagScheme       = 2 // scheme id
	tagOrder        = 3 // merchant's own order number
	tagSchemeRef    = 4 // scheme's own number of the payment
	tagPresentation = 5 // "C": the payer showed the code; "M": the merchant did
	tagPayment      = 7 // the switch's id of the payment
)

var tagKnown = [...]bool{tagCode: true, tagScheme: true, tagOrder: true, tagSchemeRef: true, tagPresentation: true, tagPayment: true}

// tagged is DE48 taken apart, by tag. A tag that is not there is nil.
type tagged [len(tagKnown)][]byte

func tagError(reason tongma.Reason, tag, offset int, detail string) error {
	name := "DE48"
	if tag >= 0 {
		name += "." + strconv.Itoa(tag/10) + strconv.Itoa(tag%10)
	}
	return &tongma.Error{Op: "iso8583: DE48", Reason: reason, Field: name, Offset: offset, Detail: detail}
}

// parseTagged takes DE48 apart. A tag that the dialect does not have, one that
// comes twice, an empty value, and anything cut short are refused; the offset is
// that within DE48.
func parseTagged(data []byte) (tagged, error) {
	var t tagged
	for pos := 0; pos < len(data); {
		tag, size := readLength(data[pos:], 2), -1
		if tag >= 0 {
			size = readLength(data[pos+2:], 3)
		}
		if size <= 0 || size > len(data)-pos-5 {
			return tagged{}, tagError(tongma.FieldUnreadable, tag, pos, "tag or length")
		}
		if tag >= len(tagKnown) || !tagKnown[tag] {
			return tagged{}, tagError(tongma.FieldUnknown, tag, pos, "not in the dialect")
		}
		if t[tag] != nil {
			return tagged{}, tagError(tongma.FieldInvalid, tag, pos, "given twice")
		}
		t[tag] = data[pos+5 : pos+5+size]
		pos += 5 + size
	}
	return t, nil
}

// appendTag appends one tag. An empty value, and one that DE48 could not carry,
// is left out.
func appendTag(dst []byte, tag int, value string) []byte {
	if value == "" || len(value) > 999-5-len(dst) || classANS.stray([]byte(value)) >= 0 {
		return dst
	}
	dst = appendLength(dst, tag, 2)
	dst = appendLength(dst, len(value), 3)
	return append(dst, value...)
}
