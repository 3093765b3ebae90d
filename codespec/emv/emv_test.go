package emv

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tongma/tongma/codespec/tlv"
)

// withCRC closes a code that stops before its CRC.
func withCRC(s string) string { return fmt.Sprintf("%s6304%04X", s, CRC(s+"6304")) }

// head and tail make a strict code around one account.
const (
	head = "000201010211"
	acct = "26370014A000000615000101061234560205SHOP1"
	tail = "5204541153037025802SG5904SHOP6009SINGAPORE"
)

func TestCRCCheckValue(t *testing.T) {
	if got := CRC("123456789"); got != 0x29B1 {
		t.Errorf("CRC(123456789) = %04X, want 29B1", got)
	}
	if got := CRC(""); got != 0xFFFF {
		t.Errorf("CRC of nothing = %04X", got)
	}
	// Four bytes at a time gives what one byte at a time gives.
	for n := range 40 {
		s := strings.Repeat("é9", 40)[:n]
		c := uint16(0xFFFF)
		for i := range n {
			c = c<<8 ^ crcTables[0][byte(c>>8)^s[i]]
		}
		if CRC(s) != c {
			t.Errorf("%d bytes: %04X, want %04X", n, CRC(s), c)
		}
	}
}

// The next eight tests each name a code that a well-known Go library gets
// wrong: it accepts what is broken, or refuses what is paid every day.

func TestWrongCRCIsRefused(t *testing.T) {
	good := withCRC(head + acct + tail)
	if _, err := ParseMPM(good); err != nil {
		t.Fatal(err)
	}
	wrong := good[:len(good)-4] + "0000"
	m, err := ParseMPM(wrong)
	wantReason(t, err, ReasonCRCMismatch)
	if m == nil || m.Name() != "SHOP" {
		t.Error("what could be read is not shown")
	}
	_, err = ParseMPM(strings.TrimSuffix(head+acct+tail, "6304"))
	wantReason(t, err, ReasonCRCMissing)
}

func TestLengthsCountCharactersAndTheCRCCountsBytes(t *testing.T) {
	m, err := ParseMPM(withCRC(head + acct + tail + "64200002ZH0104最佳运输0202北京"))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := tlv.Find(m.Language, "01"); v != "最佳运输" {
		t.Errorf("name %q", v)
	}
	if m.Objects[len(m.Objects)-1].Offset != len([]rune(head+acct+tail))+24 {
		t.Errorf("offset of 63 is %d", m.Objects[len(m.Objects)-1].Offset)
	}
	if len(m.Findings()) > 0 {
		t.Errorf("findings %v", m.Findings())
	}
	// The same name with a byte count reads past its end.
	_, err = ParseMPM(withCRC(head + acct + tail + "64320002ZH0112最佳运输0206北京"))
	wantReason(t, err, ReasonTruncated)
}

func TestIDTwiceAtTheRootIsRefused(t *testing.T) {
	_, err := ParseMPM(withCRC(head + acct + tail + "5404" + "1.00" + "5404" + "9.00"))
	wantReason(t, err, ReasonDuplicate)
	_, err = ParseMPM(withCRC(head + acct + acct + tail))
	wantReason(t, err, ReasonDuplicate)
}

func TestEmptyValueIsAFinding(t *testing.T) {
	m := parse(t, withCRC(head+acct+"5204541153037025802SG59006009SINGAPORE62040100"))
	wantKinds(t, m, "zero-length-59", "zero-length-62.01")
}

func TestPayloadFormat02IsAFinding(t *testing.T) {
	m := parse(t, withCRC("000202010211"+acct+tail))
	wantKinds(t, m, "pfi-not-01:02")
}

func TestOpaqueTokensInTemplatesAreKept(t *testing.T) {
	m := parse(t, withCRC(head+"393203f92874015c5c6e81301afca0f637ae"+tail+"82327FFC1AC00E99EA2D7A0D7BB79755736A"))
	wantKinds(t, m, "template-39-not-tlv", "unreserved-82-no-guid")
	if a, ok := m.Account("39"); !ok || a.IsTLV || a.Value != "03f92874015c5c6e81301afca0f637ae" {
		t.Errorf("account %+v", a)
	}
}

func TestLowerCaseCRCIsAFinding(t *testing.T) {
	text := withCRC(head + acct + tail + "61041A2B")
	m := parse(t, text[:len(text)-4]+strings.ToLower(text[len(text)-4:]))
	if strings.ToLower(text) == text {
		t.Fatal("this code's CRC has no letters")
	}
	wantKinds(t, m, "crc-lower-case")
}

func TestNameAndCityMayBeMissing(t *testing.T) {
	m := parse(t, withCRC("00020101021129370016A000000677010111011300660000000005802TH5303764"))
	wantKinds(t, m, "missing-52", "missing-59", "missing-60")
}

func TestWireErrors(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                ReasonFirstObject,
		"0":                               ReasonBadID,
		"00":                              ReasonBadLength,
		"0002":                            ReasonTruncated,
		"000201":                          ReasonCRCMissing,
		"0102116304FFFF":                  ReasonFirstObject,
		"0002016304" + "AAE":              ReasonTruncated,
		"0002016303AAE":                   ReasonCRCLength,
		withCRC("000201") + "5802SG":      ReasonCRCNotLast,
		withCRC("000201") + "x":           ReasonBadID,
		"0002016304XXXX":                  ReasonCRCMismatch,
		withCRC("0002016299"):             ReasonTruncated,
		withCRC("000201" + "62060599AB"):  ReasonTruncated,
		withCRC("000201" + "6206AA02ZH"):  ReasonBadID,
		withCRC("000201" + "64070002ZH0"): ReasonBadID,
	} {
		_, err := ParseMPM(text)
		var w *WireError
		if !errors.As(err, &w) || w.Reason != reason {
			t.Errorf("%q: %v, want %s", text, err, reason)
		}
	}
}

// TestFindings has one departure from the specification each.
func TestFindings(t *testing.T) {
	for change, kind := range map[string]string{
		"0102" + "21":                    "poi-rfu:21",
		"5203" + "541":                   "too-short-52",
		"5204" + "54x1":                  "not-numeric-52",
		"5303" + "SGD":                   "not-numeric-53",
		"5403" + "1,0":                   "54-format",
		"5402" + ".5":                    "54-format",
		"5403" + "0.0":                   "amount-zero",
		"5414" + "12345678901.23":        "too-long-54",
		"5502" + "04":                    "55-rfu",
		"5502" + "02":                    "56-presence",
		"5502" + "03":                    "57-presence",
		"5601" + "1":                     "56-presence",
		"5702" + "1%":                    "57-format",
		"5802" + "sg":                    "58-format",
		"5926" + strings.Repeat("N", 26): "too-long-59",
		"5901" + "é":                     "not-ans-59",
		"6016" + strings.Repeat("C", 16): "too-long-60",
		"6111" + strings.Repeat("1", 11): "too-long-61",
		"6200":                           "62-empty",
		"6230" + "0126" + strings.Repeat("B", 26): "too-long-62.01",
		"6216" + "0504AAAA0504BBBB":               "duplicate-62.05",
		"6406" + "0002ZH":                         "missing-64.01",
		"6401":                                    "",
		"7001" + "x":                              "rfu-id-70",
		"8008" + "0104ABCD":                       "unreserved-80-no-guid",
		"8004" + "0000":                           "unreserved-80-empty-guid",
		"8037" + "0033" + strings.Repeat("g", 33): "unreserved-80-guid-too-long",
		"8018" + "0002gg0102aa0102bb":             "duplicate-80.01",
	} {
		if kind == "" {
			continue
		}
		m := parse(t, withCRC(replace(change)))
		found := false
		for _, f := range m.Findings() {
			found = found || f.Kind == kind
			if f.Message == "" {
				t.Errorf("%s: no message", f.Kind)
			}
		}
		if !found {
			t.Errorf("%s: %v, want %s", change[:4], m.Findings(), kind)
		}
	}
	m := parse(t, withCRC(head+tail))
	wantKinds(t, m, "missing-merchant-account")
	long := head + acct + tail
	for id := 81; id <= 86; id++ {
		long += fmt.Sprintf("%d980005guid10185%s", id, strings.Repeat("x", 85))
	}
	wantKinds(t, parse(t, withCRC(long)), "payload-too-long")
	wantKinds(t, parse(t, withCRC(head+acct+tail+"6101\xff")), "not-utf8")
}

// replace puts an object into a strict code, in place of the one with its ID.
func replace(object string) string {
	var out strings.Builder
	objects, _ := tlv.Parse(head + acct + tail)
	done := false
	for _, o := range objects {
		if o.ID == object[:2] {
			out.WriteString(object)
			done = true
			continue
		}
		fmt.Fprintf(&out, "%s%02d%s", o.ID, len(o.Value), o.Value)
	}
	if !done {
		out.WriteString(object)
	}
	return out.String()
}

func TestDraftBuildsStrictCodesOnly(t *testing.T) {
	good := Draft{
		Accounts: []Account{{ID: "02", Value: "4111111111111111"}, {GUID: "com.example", Fields: []tlv.Object{{ID: "01", Value: "x"}}}, {ID: "26", GUID: "org.other"}},
		MCC:      "5411", Currency: "702", Country: "SG", Name: "SHOP", City: "SINGAPORE",
	}
	m, err := good.Build()
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := m.Account("27"); !ok || a.GUID != "com.example" {
		t.Errorf("the template without an ID did not take the first free one: %+v", m.Accounts)
	}
	for name, change := range map[string]func(*Draft){
		"58":    func(d *Draft) { d.Country = "" },
		"54":    func(d *Draft) { d.Amount = "0" },
		"59":    func(d *Draft) { d.Name = "最佳运输" },
		"56":    func(d *Draft) { d.Tip = "02" },
		"":      func(d *Draft) { d.Accounts = nil },
		"26":    func(d *Draft) { d.Accounts[1].ID = "26" },
		"62":    func(d *Draft) { d.Additional = []tlv.Object{{ID: "05", Value: strings.Repeat("x", 96)}} },
		"62.05": func(d *Draft) { d.Additional = []tlv.Object{{ID: "05", Value: strings.Repeat("x", 26)}} },
		"64.00": func(d *Draft) { d.Language = &Language{Code: "ZHO", Name: "x"} },
	} {
		bad := good
		bad.Accounts = append([]Account{}, good.Accounts...)
		change(&bad)
		_, err := bad.Build()
		var w *WireError
		if !errors.As(err, &w) || w.Path != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	many := good
	for range 26 {
		many.Accounts = append(many.Accounts, Account{GUID: "com.example"})
	}
	if _, err := many.Build(); err == nil {
		t.Error("27 templates in 26 IDs were built")
	}
}

// TestCPMExampleOfTheSpecification builds EMVCo CPM Annex B, example 1.
func TestCPMExampleOfTheSpecification(t *testing.T) {
	c, err := ConsumerDraft{Apps: []AppDraft{{
		AID:   []byte{0xA0, 0, 0, 0, 0x55, 0x55, 0x55},
		Nodes: []tlv.Node{{Tag: TagTrack2, Value: []byte{0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x58, 0xD1, 0x91, 0x22, 0x01, 0x12, 0x34, 0x5F}}},
	}}}.Build()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Encode(); got != "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=" {
		t.Errorf("got %s", got)
	}
	if pan, ok := c.PAN(); !ok || pan != "1234567890123458" {
		t.Errorf("account number %q", pan)
	}
}

func TestConsumerDraftRefusesWhatEMVCoForbids(t *testing.T) {
	for name, d := range map[string]ConsumerDraft{
		"no application": {},
		"no number":      {Apps: []AppDraft{{AID: make([]byte, 7)}}},
		"short AID":      {Apps: []AppDraft{{AID: make([]byte, 4), Nodes: []tlv.Node{{Tag: TagPAN, Value: []byte{0x12}}}}}},
		"tag twice":      {Apps: []AppDraft{{AID: make([]byte, 5), Nodes: []tlv.Node{{Tag: TagPAN, Value: []byte{0x12}}, {Tag: TagPAN, Value: []byte{0x12}}}}}},
		"format":         {Format: "CPV99", Apps: []AppDraft{{AID: make([]byte, 7)}}},
	} {
		if _, err := d.Build(); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

func TestCPMSpellingsAreOne(t *testing.T) {
	const good = "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="
	for name, text := range map[string]string{
		"padding missing":  strings.TrimSuffix(good, "="),
		"unused bits set":  strings.Replace(good, "F8=", "F9=", 1),
		"line break":       good[:20] + "\n" + good[20:],
		"url-safe letters": strings.Replace(good, "/", "_", 1) + "_",
		"something after":  good + "AAAA",
	} {
		if _, err := ParseCPM(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestJPQRConsumerCode(t *testing.T) {
	c, err := ConsumerDraft{Format: FormatJPQR1, Apps: []AppDraft{{
		AID: []byte("BRAND"), Nodes: []tlv.Node{{Tag: TagTrack2, Value: []byte{0x12, 0x34, 0x56, 0x78}}, {Tag: 0x99, Value: []byte("free")}},
	}}}.Build()
	if err != nil {
		t.Fatal(err)
	}
	if text := c.Encode(); !strings.HasPrefix(text, "hQVKUFFS") {
		t.Errorf("starts %s", text[:8])
	}
}

func TestCompactDigits(t *testing.T) {
	for digits, want := range map[string]string{"1": "1F", "12": "12", "123": "123F", "77000123456789012368": "77000123456789012368", "": "", "1a": ""} {
		if got := hexUpper(CompactDigits(digits)); got != want {
			t.Errorf("%q: %s, want %s", digits, got, want)
		}
	}
}

func parse(t *testing.T, text string) *MPM {
	t.Helper()
	m, err := ParseMPM(text)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := m.Encode(); err != nil || back != text {
		t.Fatalf("written back as %q, %v", back, err)
	}
	return m
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var w *WireError
	if !errors.As(err, &w) || w.Reason != reason {
		t.Errorf("%v, want %s", err, reason)
	}
}

func wantKinds(t *testing.T, m *MPM, kinds ...string) {
	t.Helper()
	var got []string
	for _, f := range m.Findings() {
		got = append(got, f.Kind)
	}
	if strings.Join(got, " ") != strings.Join(kinds, " ") {
		t.Errorf("findings %v, want %v", got, kinds)
	}
}
