package link

import (
	"errors"
	"strings"
	"testing"
)

func TestSplitCutsAtSeparatorsOnly(t *testing.T) {
	for raw, want := range map[string]URL{
		"https://QR.Alipay.com/FKX?t=1#frag": {Scheme: "https", Host: "qr.alipay.com", Path: "/FKX", Query: "t=1"},
		"HTTPS://a.b":                        {Scheme: "https", Host: "a.b"},
		"https://a.b?x=/y":                   {Scheme: "https", Host: "a.b", Query: "x=/y"},
		"wxp://f2f0_A-b":                     {Scheme: "wxp", Host: "f2f0_a-b"},
		"weixin://wxpay/bizpayurl?pr=A%20B":  {Scheme: "weixin", Host: "wxpay", Path: "/bizpayurl", Query: "pr=A%20B"},
	} {
		got, err := Split(raw)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v", raw, got, err)
		}
	}
}

func TestSplitErrorsSayWhere(t *testing.T) {
	_, err := Split("https://qr.alipay.com/a b")
	var e *Error
	if !errors.As(err, &e) || e.Reason != ReasonBadURL || e.Offset != 23 {
		t.Errorf("%+v", e)
	}
	if strings.Contains(e.Error(), "alipay") {
		t.Error("the text holds a part of the code")
	}
}

func TestParamCountsRepeats(t *testing.T) {
	u := URL{Query: "a=1&b=2&a=3&c&=4"}
	for name, want := range map[string]struct {
		value string
		count int
	}{"a": {"1", 2}, "b": {"2", 1}, "c": {"", 1}, "d": {"", 0}} {
		if v, n := u.Param(name); v != want.value || n != want.count {
			t.Errorf("%s: %q %d", name, v, n)
		}
	}
}

func TestUnescapeOnceAndExactly(t *testing.T) {
	for s, want := range map[string]string{"a+b": "a+b", "%41%2f%2F": "A//", "%2541": "%41", "": ""} {
		if got, err := Unescape(s); err != nil || got != want {
			t.Errorf("%q: %q %v", s, got, err)
		}
	}
	for _, s := range []string{"%", "%4", "%4g", "%zz", "a%"} {
		var e *Error
		if _, err := Unescape(s); !errors.As(err, &e) || e.Reason != ReasonBadEscape {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestUPIFields(t *testing.T) {
	u, err := ParseUPI("upi://pay?pa=shop%40upi&pn=Test+Shop&am=0&mam=null&mode=02&orgid=159002&purpose=00&x=1&sign=MEU+/=")
	if err != nil {
		t.Fatal(err)
	}
	if u.Payee != "shop@upi" || u.PayeeName != "Test Shop" || !u.ZeroAmount || u.OtherParams != 1 || u.OrgID != "159002" ||
		!strings.HasSuffix(u.Signed, "&x=1") || u.Sign != "MEU+/=" || !u.HasSignature() {
		t.Errorf("%+v", u)
	}
}
