package clearing

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
	"pgregory.net/rapid"
)

// anyEntry draws entries of every shape, most of them within bounds.
func anyEntry(t *rapid.T) Entry {
	text := func(limit int) string {
		if rapid.Bool().Draw(t, "empty") {
			return ""
		}
		n := rapid.SampledFrom([]int{1, limit - 1, limit, limit, limit + 1}).Draw(t, "length")
		return strings.Repeat("x", n)
	}
	number := func() int64 {
		return rapid.OneOf(rapid.SampledFrom([]int64{0, 0, 1, 127, 128, 1 << 62, 1<<62 + 1, -1}), rapid.Int64Range(0, 1<<62)).Draw(t, "number")
	}
	fixed := func(b []byte) {
		if rapid.Bool().Draw(t, "present") {
			copy(b, rapid.SliceOfN(rapid.Byte(), len(b), len(b)).Draw(t, "bytes"))
		}
	}
	leg := rapid.Custom(func(t *rapid.T) Leg {
		name := rapid.SampledFrom([]tongma.ParticipantID{"a", "b", "c", "d", tongma.ParticipantID(strings.Repeat("x", 32)), tongma.ParticipantID(strings.Repeat("x", 33)), ""})
		return Leg{schemes.FeeKind(rapid.SampledFrom([]int{1, 2, 3, 3, 2, 1, 0, 4}).Draw(t, "fee")), schemes.OnRefund(rapid.SampledFrom([]int{0, 1, 1, 0, 2}).Draw(t, "on refund")),
			name.Draw(t, "from"), name.Draw(t, "to"), tongma.Money{Minor: rapid.SampledFrom([]int64{1, 64, 65, tongma.MaxMinor, tongma.MaxMinor + 1, 0, -1}).Draw(t, "fee minor"), Currency: tongma.Currency(rapid.Uint16().Draw(t, "currency"))}}
	})
	e := Entry{Kind: Kind(rapid.IntRange(0, 24).Draw(t, "kind")), Number: rapid.Uint64().Draw(t, "entry"),
		Late: rapid.Bool().Draw(t, "late"), KeepCode: rapid.Bool().Draw(t, "keep"), Time: number(),
		Op: tongma.Operation(rapid.Byte().Draw(t, "op")), Asker: tongma.ParticipantID(text(32)), Key: text(tongma.MaxKey),
		Debtor: tongma.ParticipantID(text(32)), Creditor: tongma.ParticipantID(text(32)), Scheme: tongma.SchemeID(text(32)),
		Amount:     tongma.Money{Minor: rapid.Int64().Draw(t, "minor"), Currency: tongma.Currency(rapid.Uint16().Draw(t, "currency"))},
		AuthWindow: tongma.WindowID(number()), Window: tongma.WindowID(number()), Expiry: number(), CodeTail: text(4),
		Reason: tongma.Reason(rapid.Uint16Range(0, 10_001).Draw(t, "reason")), SchemeRef: text(64), Approval: text(6),
		Merchant: text(35), Order: text(64), Directory: uint64(number()),
		Maker: text(32), Checker: text(32)}
	if legs := rapid.SliceOfN(leg, 0, MaxLegs+1).Draw(t, "legs"); len(legs) > 0 && rapid.Bool().Draw(t, "fees") {
		e.Legs = legs
	}
	if rapid.Bool().Draw(t, "no amount") {
		e.Amount = tongma.Money{}
	}
	if salt := text(32); salt != "" {
		e.Salt = []byte(salt)
	}
	fixed(e.Payment[:])
	fixed(e.Original[:])
	fixed(e.Content[:])
	fixed(e.Code[:])
	fixed(e.Hash[:])
	return e
}

// TestEntryIsReadBackAsWritten, whenever its bounds say so, and refused otherwise.
func TestEntryIsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry(t)
		data := e.AppendTo(nil)
		got, err := ParseEntry(data)
		if fits := e.fits(); fits != (err == nil) {
			t.Fatalf("fits %t, but %v: %+v", fits, err, e)
		}
		if err == nil && !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v\nwant %+v", got, e)
		}
	})
}

// FuzzParseEntry: what is accepted has exactly one form.
func FuzzParseEntry(f *testing.F) {
	for _, e := range life(f) {
		f.Add(e.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEntry(data)
		if err != nil {
			if !reflect.DeepEqual(e, Entry{}) {
				t.Fatal("an error, and half an entry")
			}
			return
		}
		if again := e.AppendTo(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x is read, %x is written", data, again)
		}
		if !e.fits() {
			t.Fatal("read, but out of bounds")
		}
		_ = NewLine(&e, 1, data)
	})
}

// TestOtherFormsOfAnEntryAreRefused: each is the same entry to a lenient reader.
func TestOtherFormsOfAnEntryAreRefused(t *testing.T) {
	e := Entry{Kind: KindHold, Number: 5, Time: 3, Asker: "shop-b", Payment: testID(1)}
	good := e.AppendTo(nil)
	if _, err := ParseEntry(good); err != nil {
		t.Fatal(err)
	}
	// kind, number, four bytes of bits, time, payment, length and asker
	splice := func(at, drop int, with ...byte) []byte {
		return append(append(append([]byte(nil), good[:at]...), with...), good[at+drop:]...)
	}
	bit := func(f int) []byte { // a bit for field f, without a value for it
		out := append([]byte(nil), good...)
		out[5-f/8] |= 1 << (f % 8)
		return out
	}
	for name, data := range map[string][]byte{
		"nothing":                {},
		"one byte":               good[:1],
		"a byte missing":         good[:len(good)-1],
		"a byte too many":        append(append([]byte(nil), good...), 0),
		"number in two bytes":    splice(1, 1, 0x85, 0x00),
		"number without end":     splice(1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
		"time in two bytes":      splice(6, 1, 0x86, 0x00),
		"time present as zero":   splice(6, 1, 0x00),
		"negative time":          splice(6, 1, 0x05),
		"payment all zero":       splice(7, 16, make([]byte, 16)...),
		"asker of no length":     splice(23, 7, 0),
		"asker too long":         splice(23, 1, 33),
		"asker cut off":          splice(23, 1, 7),
		"an unknown field":       bit(fieldsInFirst),
		"the last unknown":       bit(30),
		"no second word":         bit(31),
		"an empty second word":   append(append(slices.Clone(bit(31)[:6]), 0, 0, 0, 0), good[6:]...),
		"unknown in the second":  append(append(slices.Clone(bit(31)[:6]), 0x80, 0, 0, 0), good[6:]...),
		"a method as if default": append(append(append(slices.Clone(bit(31)[:6]), 0, 0, 0, 1<<(fMethod-32)), good[6:]...), 2),
		"a field without data":   bit(fSalt),
		"no legs, but said":      append(bit(fLegs), 0),
		"too many legs":          append(bit(fLegs), 9),
		"half a leg":             append(bit(fLegs), 1, 1, 0, 1, 'a', 1, 'b', 2),
		"a leg of nothing":       append(bit(fLegs), 1, 1, 0, 1, 'a', 1, 'b', 0, 0, 156),
		"a leg to itself":        append(bit(fLegs), 1, 1, 0, 1, 'a', 1, 'a', 2, 0, 156),
		"a leg of no kind":       append(bit(fLegs), 1, 0, 0, 1, 'a', 1, 'b', 2, 0, 156),
		"kind 0":                 splice(0, 1, 0),
		"kind 99":                splice(0, 1, 99),
	} {
		if _, err := ParseEntry(data); tongma.ReasonOf(err) != tongma.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseEntryOfADamagedEntryNeverPanics(t *testing.T) {
	for _, e := range life(t) {
		data := e.AppendTo(nil)
		for i := range data {
			for _, flip := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(data)
				bad[i] ^= flip
				if got, err := ParseEntry(bad); err == nil && !bytes.Equal(got.AppendTo(nil), bad) {
					t.Fatalf("byte %d of %s: accepted in two forms", i, e.Kind)
				}
			}
			if _, err := ParseEntry(data[:i]); err == nil {
				t.Fatalf("%s is accepted, cut at byte %d", e.Kind, i)
			}
		}
	}
}

// TestLineHoldsWhatTheEntryHolds pins the names that docs/journal.md documents.
func TestLineHoldsWhatTheEntryHolds(t *testing.T) {
	e := Entry{Number: 12, Kind: KindHold, Late: true, KeepCode: true, Time: startMillis, Payment: testID(1), Original: testID(2),
		Op: tongma.OpRefund, Asker: "shop-b", Key: "k-1", Debtor: "shop-b", Creditor: "bank-a", Scheme: "bank-a-pay",
		Amount: tongma.Money{Minor: 1250, Currency: tongma.CNY}, AuthWindow: 3, Window: 4, Expiry: startMillis + 30_000,
		Content: Digest{1}, Code: Digest{2}, CodeTail: "1234", Reason: tongma.OverCap, SchemeRef: "ref", Approval: "A1B2C3",
		Merchant: "m-1", Order: "o-1", Directory: 7, Hash: [32]byte{9}, Salt: []byte("salt"), Maker: "ann", Checker: "bob",
		Model: "cards", Method: calendar.Gross, Cutoff: startMillis, ValueDate: 20261123, Calendar: "cny.1", Stage: dispute.Represented,
		Dealer: "fx-d", Target: tongma.Money{Minor: 15523, Currency: tongma.JPY}, Quote: "q-1", Rate: "USD/JPY 155.230 source",
		Shard: 2, Shards: 3, Sequence: 4, Upto: 5, Linked: 6, Cells: []Obligation{{"bank-a", "shop-b", tongma.CNY, 9, 2, 1}}, Terms: []Terms{{tongma.CNY, 7, 8, 9}},
		Legs: []Leg{{schemes.FeeScheme, schemes.FeeReturn, "shop-b", "net-s", tongma.Money{Minor: 3, Currency: tongma.CNY}}}}
	data := e.AppendTo(nil)
	text, err := json.Marshal(NewLine(&e, 5, data))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"entry":12,"kind":"hold","time":"2026-11-22T00:00:00.000Z","batch":5,` +
		`"hash":"HASH","payment":"pay_01j80000003g0800000000000001","original":"pay_01j80000003g0800000000000002",` +
		`"operation":"refund","asker":"shop-b","key":"k-1","debtor":"shop-b","creditor":"bank-a","scheme":"bank-a-pay",` +
		`"amount_minor":1250,"currency":"CNY","auth_window":3,"window":4,"expiry":"2026-11-22T00:00:30.000Z",` +
		`"code_digest":"02000000000000000000000000000000","code_tail":"1234","content_digest":"01000000000000000000000000000000",` +
		`"reason":"TM-3001","reason_name":"over-cap","scheme_ref":"ref","approval":"A1B2C3","merchant":"m-1","order":"o-1",` +
		`"directory":7,"sheet_hash":"0900000000000000000000000000000000000000000000000000000000000000","late":true,"keep_code":true,` +
		`"fees":[{"fee":"scheme","from":"shop-b","to":"net-s","fee_minor":3,"on_refund":"return"}],"maker":"ann","checker":"bob",` +
		`"model":"cards","method":"gross","cutoff":"2026-11-22T00:00:00.000Z","value_date":20261123,"calendar":"cny.1","stage":"represented",` +
		`"dealer":"fx-d","target_minor":15523,"target_currency":"JPY","quote":"q-1","rate":"USD/JPY 155.230 source","shard":2,"shards":3,"sequence":4,"upto":5,"linked_window":6,` +
		`"cells":[{"debtor":"bank-a","creditor":"shop-b","currency":"CNY","gross_minor":9,"payments":2,"fees_minor":1}],` +
		`"terms":[{"currency":"CNY","cap_minor":7,"directed_cap_minor":8,"prefunded_minor":9}]}`
	var got, expected map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(want), &expected)
	expected["payment"], expected["original"] = testID(1).String(), testID(2).String()
	leaf := LeafHash(data)
	expected["hash"] = hexOf(leaf[:])
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if reflect.TypeFor[Line]().NumField() != len(expected) {
		t.Errorf("a line has %d fields, %d are pinned here", reflect.TypeFor[Line]().NumField(), len(expected))
	}
}
