package iso8583

import (
	"encoding/hex"
	"testing"

	"github.com/tongma/tongma"
)

func TestNothingIsApprovedByDefault(t *testing.T) {
	for _, k := range []kind{kindFinancial, kindInquiry, kindReversal, kindAdvice} {
		for _, status := range []tongma.Status{tongma.Pending, tongma.Refused} {
			for _, reason := range append(tongma.Reasons(), tongma.ReasonInfo{}) {
				a := tongma.Answer{Status: status, Reason: reason.Reason}
				reversal := k == kindReversal || k == kindAdvice
				stands := reversal && (a.Reason == tongma.ReversedBeforeOriginal || status == tongma.Refused && nothingToUndo(a.Reason) ||
					k == kindAdvice && status == tongma.Pending && a.Reason == tongma.ReversalPending)
				if code := responseCode(k, &a); (code == "00") != stands {
					t.Errorf("kind %d, %v, %v: DE39 %s", k, status, a.Reason, code)
				}
			}
		}
	}
	if code := responseCode(kindFinancial, &tongma.Answer{}); code != "09" {
		t.Errorf("the zero Answer gives DE39 %s", code)
	}
	for reason, want := range map[tongma.Reason]string{tongma.InsufficientFunds: "00", tongma.CodeExpired: "00", tongma.AdapterDown: "00",
		tongma.AlreadyRefunded: "12", tongma.PaymentUnknown: "25", tongma.Internal: "96", tongma.NoReason: "05"} {
		a := tongma.Answer{Status: tongma.Refused, Outcome: tongma.Declined, Reason: reason}
		if code := responseCode(kindAdvice, &a); code != want {
			t.Errorf("reversal, and the switch says refused for %v: DE39 %s, want %s", reason, code, want)
		}
	}
	if code := responseCode(kindAdvice, &tongma.Answer{Status: tongma.Paid}); code == "00" {
		t.Error("a reversal is acknowledged while the payment stands")
	}
}

func TestCMACGivesTheKnownAnswers(t *testing.T) {
	unhex := func(s string) []byte {
		p, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const text = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	rfc := "2b7e151628aed2a6abf7158809cf4f3c" // RFC 4493, section 4
	tests := []struct{ key, data, sum string }{
		{rfc, "", "bb1d6929e95937287fa37d129b756746"},
		{rfc, text[:32], "070a16b46b4d4144f79bdd9dd04a287c"},
		{rfc, text[:80], "dfa66747de9ae63030ca32611497c827"},
		{rfc, text, "51f0bebf7e3b9d92fc49741779363cfe"},
		{"0123456789ABCDEFFEDCBA9876543210", hex.EncodeToString([]byte("0200ISO8583 SAMPLE MESSAGE FOR MAC")), "063da6deb3e6e23278dc989313ee4a63"},
	}
	for _, tt := range tests {
		k, err := NewMAC(unhex(tt.key))
		if err != nil {
			t.Fatal(err)
		}
		if sum := k.Sum(unhex(tt.data)); hex.EncodeToString(sum[:]) != tt.sum {
			t.Errorf("%s: %x, want %s", tt.data, sum, tt.sum)
		}
	}
	if _, err := NewMAC(make([]byte, 8)); err == nil {
		t.Error("a key of 8 bytes was taken")
	}
}

func TestDecimalsFollowTheCurrencyAndTheLink(t *testing.T) {
	const idr = tongma.Currency(360)
	rupiah := Decimals{idr: 0}
	fils := Decimals{tongma.KWD: 4}
	tests := []struct {
		d      Decimals
		de4    string
		de49   string
		money  tongma.Money
		reason tongma.Reason
	}{
		{nil, "000000001250", "156", cny(1250), 0},
		{nil, "000000001250", "392", tongma.Money{Minor: 1250, Currency: tongma.JPY}, 0},
		{nil, "000000001250", "414", tongma.Money{Minor: 1250, Currency: tongma.KWD}, 0},
		{nil, "000001500000", "360", tongma.Money{Minor: 1500000, Currency: idr}, 0},
		{rupiah, "000000015000", "360", tongma.Money{Minor: 1500000, Currency: idr}, 0},
		{rupiah, "000000001250", "156", cny(1250), 0},
		{rupiah, "999999999999", "360", tongma.Money{}, tongma.AmountInvalid},
		{fils, "000000012500", "414", tongma.Money{Minor: 1250, Currency: tongma.KWD}, 0},
		{fils, "000000012505", "414", tongma.Money{}, tongma.AmountDecimals},
		{nil, "000000000000", "156", tongma.Money{}, tongma.AmountInvalid},
		{nil, "000000000001", "000", tongma.Money{}, tongma.CurrencyUnknown},
	}
	for _, tt := range tests {
		m, err := tt.d.money([]byte(tt.de4), []byte(tt.de49))
		if m != tt.money || tongma.ReasonOf(err) != tt.reason {
			t.Errorf("%s %s with %v: %v, %v", tt.de4, tt.de49, tt.d, m, err)
		}
		if err != nil {
			continue
		}
		if de4, de49, err := tt.d.text(m); de4 != tt.de4 || de49 != tt.de49 || err != nil {
			t.Errorf("%v with %v: %s %s, %v", m, tt.d, de4, de49, err)
		}
	}
	if _, _, err := rupiah.text(tongma.Money{Minor: 150, Currency: idr}); tongma.ReasonOf(err) != tongma.AmountDecimals {
		t.Errorf("1.50 IDR as whole rupiah: %v", err)
	}
}

func TestKeyIsTheSameFromTheMessageAndFromDE90(t *testing.T) {
	var m Message
	m.Reset("0420")
	for _, pair := range [][2]string{{"00010344", "00010000"}, {"10344", ""}, {"99999999999", "00000000000"}} {
		m.SetText(32, pair[0])
		m.SetText(90, originalData("000123", "1122080910", pair[0], pair[1]))
		got, err := originalKey(&m)
		if want := Key(pair[0], pair[1], "000123", "1122080910"); got != want || err != nil {
			t.Errorf("DE90 gives %s, %v; the message gave %s", got, err, want)
		}
	}
}
