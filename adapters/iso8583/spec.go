package iso8583

import (
	"fmt"

	moov "github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

// houseA is the dialect: ISO 8583:1987 field numbers, and for each of them
// length, encoding, length prefix and name. What is not here is refused: card
// tracks, PIN blocks and chip data (DE34-36, 45, 52, 55) have no place in a
// barcode payment, and a switch that cannot read them cannot leak them.
var houseA = &moov.MessageSpec{Name: "house dialect A", Fields: houseFields()}

func houseFields() map[int]field.Field {
	n, an, ans, xn, b := encoder{classN}, encoder{classAN}, encoder{classANS}, encoder{classXN}, encoder{classB}
	fixed, ll, lll := prefix.ASCII.Fixed, prefix.ASCII.LL, prefix.ASCII.LLL
	text := func(length int, enc encoder, pref prefix.Prefixer, name string) field.Field {
		return field.NewString(&field.Spec{Length: length, Enc: enc, Pref: pref, Description: name})
	}
	raw := func(length int, name string) field.Field {
		return field.NewBinary(&field.Spec{Length: length, Enc: b, Pref: fixed, Description: name})
	}
	return map[int]field.Field{
		0:   text(4, n, fixed, "Message type"),
		1:   field.NewBitmap(&field.Spec{Length: 8, Enc: b, Pref: fixed, Description: "Bitmap"}),
		2:   text(19, n, ll, "Account number or token"),
		3:   text(6, n, fixed, "Processing code"),
		4:   text(12, n, fixed, "Amount, transaction"),
		5:   text(12, n, fixed, "Amount, settlement"),
		6:   text(12, n, fixed, "Amount, billing"),
		7:   text(10, n, fixed, "Transmission date and time, GMT, MMDDhhmmss"),
		8:   text(8, n, fixed, "Amount, billing fee"),
		9:   text(8, n, fixed, "Conversion rate, settlement"),
		10:  text(8, n, fixed, "Conversion rate, billing"),
		11:  text(6, n, fixed, "System trace audit number"),
		12:  text(6, n, fixed, "Local time, hhmmss"),
		13:  text(4, n, fixed, "Local date, MMDD"),
		14:  text(4, n, fixed, "Expiry date, YYMM"),
		15:  text(4, n, fixed, "Settlement date, MMDD"),
		16:  text(4, n, fixed, "Conversion date, MMDD"),
		17:  text(4, n, fixed, "Capture date, MMDD"),
		18:  text(4, n, fixed, "Merchant category code"),
		19:  text(3, n, fixed, "Country, acquirer"),
		20:  text(3, n, fixed, "Country, account"),
		21:  text(3, n, fixed, "Country, forwarder"),
		22:  text(3, n, fixed, "Entry mode"),
		23:  text(3, n, fixed, "Account sequence number"),
		24:  text(3, n, fixed, "Network international identifier"),
		25:  text(2, n, fixed, "Condition code"),
		26:  text(2, n, fixed, "PIN capture code"),
		27:  text(1, n, fixed, "Approval code length"),
		28:  text(9, xn, fixed, "Fee, transaction"),
		29:  text(9, xn, fixed, "Fee, settlement"),
		30:  text(9, xn, fixed, "Fee, transaction processing"),
		31:  text(9, xn, fixed, "Fee, settlement processing"),
		32:  text(11, n, ll, "Acquirer"),
		33:  text(11, n, ll, "Forwarder"),
		37:  text(12, an, fixed, "Retrieval reference number"),
		38:  text(6, an, fixed, "Approval code"),
		39:  text(2, an, fixed, "Response code"),
		40:  text(3, an, fixed, "Service restriction code"),
		41:  text(8, ans, fixed, "Terminal"),
		42:  text(15, ans, fixed, "Merchant"),
		43:  text(40, ans, fixed, "Merchant name (25), city (13), country (2)"),
		44:  text(25, ans, ll, "Additional response data"),
		46:  text(999, ans, lll, "Additional data, ISO"),
		47:  text(999, ans, lll, "Additional data, national"),
		48:  text(999, ans, lll, "Barcode payment data, tagged"),
		49:  text(3, n, fixed, "Currency, transaction"),
		50:  text(3, n, fixed, "Currency, settlement"),
		51:  text(3, n, fixed, "Currency, billing"),
		53:  text(16, n, fixed, "Security control"),
		54:  text(120, an, lll, "Additional amounts"),
		56:  text(999, ans, lll, "Reserved, ISO"),
		57:  text(999, ans, lll, "Reserved, national"),
		58:  text(999, ans, lll, "Reserved, national"),
		59:  text(999, ans, lll, "Reserved, national"),
		60:  text(999, ans, lll, "Reserved, private"),
		61:  text(999, ans, lll, "Reserved, private"),
		62:  text(999, ans, lll, "Reserved, private"),
		63:  text(999, ans, lll, "Reserved, private"),
		64:  raw(8, "MAC, when no field above 64 is there"),
		66:  text(1, n, fixed, "Settlement code"),
		67:  text(2, n, fixed, "Extended payment code"),
		68:  text(3, n, fixed, "Country, receiver"),
		69:  text(3, n, fixed, "Country, settlement institution"),
		70:  text(3, n, fixed, "Network management code"),
		71:  text(4, n, fixed, "Message number"),
		72:  text(4, n, fixed, "Message number, last"),
		73:  text(6, n, fixed, "Action date, YYMMDD"),
		74:  text(10, n, fixed, "Credits, number"),
		75:  text(10, n, fixed, "Credits, reversal number"),
		76:  text(10, n, fixed, "Debits, number"),
		77:  text(10, n, fixed, "Debits, reversal number"),
		78:  text(10, n, fixed, "Transfers, number"),
		79:  text(10, n, fixed, "Transfers, reversal number"),
		80:  text(10, n, fixed, "Inquiries, number"),
		81:  text(10, n, fixed, "Authorisations, number"),
		82:  text(12, n, fixed, "Credits, processing fee"),
		83:  text(12, n, fixed, "Credits, transaction fee"),
		84:  text(12, n, fixed, "Debits, processing fee"),
		85:  text(12, n, fixed, "Debits, transaction fee"),
		86:  text(16, n, fixed, "Credits, amount"),
		87:  text(16, n, fixed, "Credits, reversal amount"),
		88:  text(16, n, fixed, "Debits, amount"),
		89:  text(16, n, fixed, "Debits, reversal amount"),
		90:  text(42, n, fixed, "Original data: type 4, DE11 6, DE7 10, DE32 11, DE33 11"),
		91:  text(1, an, fixed, "File update code"),
		92:  text(2, an, fixed, "File security code"),
		93:  text(5, an, fixed, "Response indicator"),
		94:  text(7, an, fixed, "Service indicator"),
		95:  text(42, an, fixed, "Replacement amounts"),
		96:  raw(8, "Message security code"),
		97:  text(17, xn, fixed, "Amount, net settlement"),
		98:  text(25, ans, fixed, "Payee"),
		99:  text(11, n, ll, "Settlement institution"),
		100: text(11, n, ll, "Receiver"),
		101: text(17, ans, ll, "File name"),
		102: text(28, ans, ll, "Account 1"),
		103: text(28, ans, ll, "Account 2"),
		104: text(100, ans, lll, "Transaction description"),
		128: raw(8, "MAC, when a field above 64 is there"),
	}
}

// maxField is the highest field number that two bitmaps can name.
const maxField = 128

// row is what the codec needs to know of a field.
type row struct {
	max    uint16 // the length of a fixed field, the most of a variable one
	digits uint8  // digits of the length prefix; zero for a fixed field
	class  class
}

// table is a dialect as the codec uses it. known has one bit for each field that
// has a row, the highest bit for DE1, in the order of the bitmaps.
type table struct {
	rows  [maxField + 1]row
	known [2]uint64
}

var house = mustDerive(houseA)

// derive takes the codec's table out of a moov spec. It fails if a row has a
// length prefix, an encoding or a padding that the codec cannot speak.
func derive(spec *moov.MessageSpec) (*table, error) {
	t := &table{}
	for id, f := range spec.Fields {
		s := f.Spec()
		if id < 2 {
			continue // message type and bitmaps are the codec's own
		}
		enc, ok := s.Enc.(encoder)
		if !ok || s.Pad != nil || id > maxField {
			return nil, fmt.Errorf("iso8583: DE%d: encoding or padding is not of this dialect", id)
		}
		digits, ok := map[string]uint8{"ASCII.Fixed": 0, "ASCII.LL": 2, "ASCII.LLL": 3}[s.Pref.Inspect()]
		if !ok {
			return nil, fmt.Errorf("iso8583: DE%d: length prefix %s is not of this dialect", id, s.Pref.Inspect())
		}
		t.rows[id] = row{max: uint16(s.Length), digits: digits, class: enc.class}
		t.known[(id-1)/64] |= bitOf(id)
	}
	return t, nil
}

// mustDerive is for the table above, whose faults are known when the program
// starts or never.
func mustDerive(spec *moov.MessageSpec) *table {
	t, err := derive(spec)
	if err != nil {
		panic(err)
	}
	return t
}

// bitOf returns the bit of a field within its own bitmap.
func bitOf(id int) uint64 { return 1 << (63 - uint(id-1)%64) }

// FieldInfo is one row of the dialect, for documents and for other tools.
type FieldInfo struct {
	ID     int    // DE number; 0 is the message type
	Format string // "n 12", "ans ..999 LLL", "b 8"
	Name   string
}

// Fields returns the dialect's rows by field number, without the bitmaps.
func Fields() []FieldInfo {
	out := make([]FieldInfo, 0, len(houseA.Fields))
	for id := range maxField + 1 {
		f, ok := houseA.Fields[id]
		if !ok || id == 1 {
			continue
		}
		s := f.Spec()
		format := fmt.Sprintf("%v %d", s.Enc.(encoder).class, s.Length)
		if pref := s.Pref.Inspect(); pref != "ASCII.Fixed" {
			format = fmt.Sprintf("%v ..%d %s", s.Enc.(encoder).class, s.Length, pref[len("ASCII."):])
		}
		out = append(out, FieldInfo{ID: id, Format: format, Name: s.Description})
	}
	return out
}
