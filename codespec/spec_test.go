package codespec

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/paycode"
	"github.com/tongma/tongma/codespec/tlv"
)

// TestSpecVectors reads the vectors of SPEC.md as its section 5 says.
func TestSpecVectors(t *testing.T) {
	data, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(data), "```vectors\n")
	block, _, closed := strings.Cut(block, "```")
	if !ok || !closed {
		t.Fatal("SPEC.md has no block of vectors")
	}
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		want, code, _ := strings.Cut(rest, " ")
		n++
		c, err := Decode(code)
		if err != nil {
			var d *DecodeError
			if !errors.As(err, &d) || d.Reason != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
			continue
		}
		if string(c.Format) != want {
			t.Errorf("%s: format %s, want %s", name, c.Format, want)
		}
		if !contains(c.Schemes(), SchemeUnified) {
			t.Errorf("%s: schemes %v", name, c.Schemes())
		}
		if len(c.Findings) > 0 {
			t.Errorf("%s: findings %v", name, c.Findings)
		}
		if back, err := Encode(c); err != nil || back != code {
			t.Errorf("%s: not written back as it was read (%v)", name, err)
		}
	}
	if n < 15 {
		t.Errorf("only %d vectors", n)
	}
}

func TestUnifiedMerchantCodeCarriesEverySchemeSideBySide(t *testing.T) {
	want := UnifiedAccount{Acquirer: "0102", Merchant: "SHOP8821", Till: "T03"}
	unified, err := want.Account()
	if err != nil {
		t.Fatal(err)
	}
	m, err := emv.Draft{
		Accounts: []emv.Account{
			{ID: "15", Value: "1234567812345678123456789012345"},
			unified,
			{GUID: "COM.QQ.WEIXIN.PAY", Fields: []tlv.Object{{ID: "01", Value: "1900000109"}}},
			{GUID: "com.alipay", Fields: []tlv.Object{{ID: "01", Value: "https://qr.alipay.com/ocx000000000000000"}}},
		},
		Dynamic: true, MCC: "5411", Currency: "156", Amount: "23.72", Country: "CN", Name: "CORNER SHOP", City: "SHANGHAI",
	}.Build()
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Schemes(), " "); got != "unionpay tongma wechat alipay" {
		t.Errorf("schemes %q", got)
	}
	if got, ok := c.UnifiedAccount(); !ok || got != want {
		t.Errorf("account %+v %v", got, ok)
	}
	amount, ok, err := c.Amount()
	if err != nil || !ok || amount.String() != "23.72 CNY" {
		t.Errorf("amount %v %v %v", amount, ok, err)
	}
}

func TestUnifiedAccountRefusesWhatTheGrammarDoesNotHave(t *testing.T) {
	for _, u := range []UnifiedAccount{
		{}, {Acquirer: "102", Merchant: "A"}, {Acquirer: "0102"}, {Acquirer: "010A", Merchant: "A"},
		{Acquirer: "0102", Merchant: "A B"}, {Acquirer: "0102", Merchant: strings.Repeat("A", 25)},
		{Acquirer: "0102", Merchant: "A", Till: "123456789"},
	} {
		if _, err := u.Account(); !errors.Is(err, ErrUnifiedAccount) {
			t.Errorf("%+v: %v", u, err)
		}
	}
}

// TestCheckDigitsCatchSingleAndSwappedDigits proves U-P1 on one code for every
// position and digit.
func TestCheckDigitsCatchSingleAndSwappedDigits(t *testing.T) {
	p, err := paycode.MakeUnified("0001", "234567890123")
	if err != nil {
		t.Fatal(err)
	}
	for i := 2; i < len(p.Digits); i++ {
		for d := byte('0'); d <= '9'; d++ {
			wrong := []byte(p.Digits)
			wrong[i] = d
			if _, err := paycode.ParseUnified(string(wrong)); (err == nil) != (d == p.Digits[i]) {
				t.Errorf("digit %d set to %c: %v", i, d, err)
			}
		}
		if i+1 < len(p.Digits) && p.Digits[i] != p.Digits[i+1] {
			wrong := []byte(p.Digits)
			wrong[i], wrong[i+1] = wrong[i+1], wrong[i]
			if _, err := paycode.ParseUnified(string(wrong)); !errors.Is(err, paycode.ErrCheckDigits) {
				t.Errorf("digits %d and %d swapped: %v", i, i+1, err)
			}
		}
	}
}

func TestUnifiedCPMHoldsThePayCode(t *testing.T) {
	m, err := UnifiedCPM("0001", "234567890123", []tlv.Node{{Tag: emv.TagCryptogram, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if c.Format != FormatCPM || c.PayCode == nil || c.PayCode.Issuer != "0001" || c.PayCode.Token != "234567890123" {
		t.Errorf("%s %+v", c.Format, c.PayCode)
	}
}
