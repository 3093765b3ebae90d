package codespec

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/link"
	"github.com/tongma/tongma/codespec/paycode"
)

// hostileURLs look like payment codes to a careless reader.
var hostileURLs = []struct{ url, reason string }{
	{"https://qr.alipay.com@evil.example/fkx0", link.ReasonUserinfo},
	{"https://qr.alipay.com:pw@evil.example/fkx0", link.ReasonUserinfo},
	{"https://qr.alipay.com:8443/fkx00000", link.ReasonPort},
	{"https://qr.alipay.com:443/fkx00000", link.ReasonPort},
	{"https://qr.alipay.com:/fkx00000", link.ReasonPort},
	{"https://qr.alipay.com.evil.example/fkx00000", ReasonUnknownHost},
	{"https://evil-qr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://xqr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://alipay.com/fkx00000", ReasonUnknownHost},
	{"https://qr.a1ipay.com/fkx00000", ReasonUnknownHost},
	{"https://evil.example/https://qr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://evil.example?https://qr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://evil.example#https://qr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://evil.example#@qr.alipay.com/fkx00000", ReasonUnknownHost},
	{"https://qr.alipay.com./fkx00000", link.ReasonBadHost},
	{"https://.qr.alipay.com/fkx00000", link.ReasonBadHost},
	{"https://qr..alipay.com/fkx00000", link.ReasonBadHost},
	{"https:///qr.alipay.com/fkx00000", link.ReasonBadHost},
	{"https://qr%2ealipay.com/fkx00000", link.ReasonBadHost},
	{"https://qr.alipay.com%00.evil.example/fkx00000", link.ReasonBadHost},
	{"https://qr.\u0430lipay.com/fkx00000", link.ReasonBadURL},        // Cyrillic a
	{"https://qr.alipay\u3002com/fkx00000", link.ReasonBadURL},        // ideographic full stop
	{"https://xn--qr-7sb.alipay.com/fkx00000", ReasonUnknownHost},     // punycode
	{"https://qr.alipay.com\\@evil.example/fkx0", link.ReasonBadURL},  // backslash
	{"https://qr.alipay.com\t.evil.example/fkx0", link.ReasonBadURL},  // tab, which browsers drop
	{"https://qr.alipay.com/fkx00000\x00", link.ReasonBadURL},         // NUL
	{"https://qr.alipay.com/../evil", ReasonBadPath},                  // dot segments
	{"https://qr.alipay.com/", ReasonBadPath},                         // nothing named
	{"https://qr.alipay.com", ReasonBadPath},                          //
	{"http://qr.alipay.com/fkx00000", ReasonNotHTTPS},                 //
	{"ftp://qr.alipay.com/fkx00000", link.ReasonBadHost},              //
	{"https:/qr.alipay.com/fkx00000", ReasonUnknownFormat},            // one slash
	{"https:qr.alipay.com/fkx00000", ReasonUnknownFormat},             // none
	{" https://qr.alipay.com/fkx00000", link.ReasonBadURL},            // leading space
	{"javascript://qr.alipay.com/%0aalert(1)", link.ReasonBadHost},    //
	{"weixin://wxpay/bizpayurl?pr=", ReasonBadPath},                   //
	{"weixin://wxpay/bizpayurl?pr=OINmxCp&pr=Mvasgua", ReasonBadPath}, // two orders
	{"weixin://wxpay.evil/bizpayurl?pr=OINmxCp", link.ReasonBadHost},  //
	{"weixin://dl/business/?t=abc", ReasonUnknownHost},                // not a payment code
	{"wxp://evil", ReasonBadPath},                                     //
	{"https://qr.95516.com/0001/62028489073949969691921655610979", ReasonBadPath},
	{"https://qr.95516.com/00010000/6202", ReasonBadPath},
	{"https://payqr.gcash.com/99101005101488519611265", ReasonBadPath},
	{"alipays://platformapi/startapp?saId=10000007", link.ReasonNothingWrapped},
	{"alipays://platformapi/startapp?qrcode=https%3A%2F%2Fevil.example%2Ffkx0", link.ReasonWrappedCode},
	{"alipays://platformapi/startapp?qrcode=https%3A%2F%2Fqr.95516.com%2F00010000%2F62028489073949969691921655610979", link.ReasonWrappedCode},
	{"alipays://platformapi/startapp?qrcode=alipays%3A%2F%2Fplatformapi%2Fstartapp%3Fqrcode%3Dhttps%253A%252F%252Fqr.alipay.com%252Ffkx0000", link.ReasonWrappedCode},
	{"alipays://platformapi/startapp?qrcode=https%253A%252F%252Fqr.alipay.com%252Ffkx0000", link.ReasonWrappedCode}, // escaped twice
	{"alipays://platformapi/startapp?qrcode=https%3A%2F%2Fqr.alipay.com%2", link.ReasonBadEscape},
	{"upi://mandate?pa=a@b", link.ReasonUPIAction},
	{"upi://pay?pa=a@b&pa=evil@b", link.ReasonUPIDuplicate},
	{"upi://pay?pa=a@b&am=1&am=2", link.ReasonUPIDuplicate},
	{"upi://pay?pa=@b", link.ReasonUPIPayee},
	{"upi://pay?pa=a@", link.ReasonUPIPayee},
	{"upi://pay?pa=a@b@c", link.ReasonUPIPayee},
	{"upi://pay?pa=a%4", link.ReasonBadEscape},
	{"upi://pay?pa=a@b&am=1e3", link.ReasonUPIAmount},
	{"upi://pay?pa=a@b&am=1,000", link.ReasonUPIAmount},
	{"upi://pay?pa=a@b&am=1.234", link.ReasonUPIAmount},
	{"upi://pay?pa=a@b&am=.5", link.ReasonUPIAmount},
	{"upi://pay?pa=a@b&cu=USD", link.ReasonUPICurrency},
}

func TestHostileURLsAreRefusedWithAReason(t *testing.T) {
	for _, h := range hostileURLs {
		c, err := Decode(h.url)
		var d *DecodeError
		if !errors.As(err, &d) || d.Reason != h.reason {
			t.Errorf("%q: %v (%s), want %s", h.url, err, c.Format, h.reason)
		}
		if c.Link != nil || len(c.Matches) > 0 {
			t.Errorf("%q: refused, and still matched", h.url)
		}
	}
}

func TestURLForms(t *testing.T) {
	for _, v := range []struct{ url, scheme, kind, token string }{
		{"wxp://f2f0AbC-dEf_123456", "wechat", "receive-code", "f2f0AbC-dEf_123456"},
		{"wxp://f2f1abcdef123456", "wechat", "receive-code", "f2f1abcdef123456"},
		{"wxp://wbf2fabcdef123456", "wechat", "receive-code", "wbf2fabcdef123456"},
		{"WEIXIN://wxpay/bizpayurl?pr=OINmxCp", "wechat", "order", "OINmxCp"},
		{"HTTPS://QR.ALIPAY.COM/FKX00000AB", "alipay", "receive-code", "FKX00000AB"},
		{"https://qr.alipay.com/tsx01234?t=1699999999999", "alipay", "receive-code", "tsx01234"},
		{"https://qr.alipay.com/ocx08230mbjrpvogjn4mm17?_s=web-other", "alipay", "merchant-static", "ocx08230mbjrpvogjn4mm17"},
		{"https://qr.alipay.com/bax012345", "alipay", "order", "bax012345"},
		{"https://qr.95516.com/48020000/62028489073949969691921655", "unionpay", "merchant-code", "62028489073949969691921655"},
		{"https://payqr.gcash.com/281010051014885196112657", "alipayplus", "merchant-code", "281010051014885196112657"},
		{"https://qr.tngdigital.com.my/m/281010051014885196112657", "alipayplus", "merchant-code", "281010051014885196112657"},
		{"https://i.qianbao.qq.com/wallet/sqrcode.htm?m=tenpay", "qqwallet", "receive-code", ""},
		{"alipays://platformapi/startapp?saId=10000007&qrcode=https%3A%2F%2Fqr.alipay.com%2Ffkx0000000", "alipay", "deep-link", "fkx0000000"},
		{"UPI://pay?pa=a@b&tr=R1", "upi", "pay", "R1"},
	} {
		c, err := Decode(v.url)
		if err != nil {
			t.Errorf("%s: %v", v.url, err)
			continue
		}
		if c.Format != FormatURL || c.Presentation != Merchant || c.Matches[0].Scheme != v.scheme || c.Link.Kind != v.kind || c.Link.Token != v.token {
			t.Errorf("%s: %s %s %q", v.url, c.Matches[0].Scheme, c.Link.Kind, c.Link.Token)
		}
	}
}

// TestUPISignatureCoversTheRawText: unescaping first would change it.
func TestUPISignatureCoversTheRawText(t *testing.T) {
	const signed = "upi://pay?pa=EPAISAA@rbl&pn=A%20B&am=10.00&cu=INR"
	c, err := Decode(signed + "&sign=MEUC+/x=")
	if err != nil {
		t.Fatal(err)
	}
	if u := c.Link.UPI; u.Signed != signed || u.Sign != "MEUC+/x=" || u.PayeeName != "A B" {
		t.Errorf("%+v", u)
	}
	if amount, ok, err := c.Amount(); err != nil || !ok || amount.String() != "10.00 INR" {
		t.Errorf("amount %v %v %v", amount, ok, err)
	}
}

func TestRecognisedAndNotPayable(t *testing.T) {
	for text, scheme := range map[string]string{
		"SPC\r\n0200\r\n1\r\nCH44":               "swiss-qr-bill",
		"SPC\n0200\n1\nCH44":                     "swiss-qr-bill",
		"BCD\n002\n1\nSCT":                       "epc-qr",
		"|099999999999990\r111222333444\r\r1234": "thai-bill",
		"004100060000010103014022020011223344556677889" + "5102TH91049C30":                            "thai-slip",
		"https://id.gs1.org/01/09506000134352/10/ABC?17=201225":                                       "gs1-digital-link",
		"https://brand.example/some/path/01/9506000134352":                                            "gs1-digital-link",
		"http://id.gs1.org/00/006141411234567890":                                                     "gs1-digital-link",
		"https://qr.95516.com/qrcGtwWeb-web/api/userAuth?version=1.0.0&redirectUrl=https%3A%2F%2Fa.b": "unionpay",
	} {
		c, err := Decode(text)
		if err != nil || c.Format != FormatNotPayable || c.Presentation != None || c.Schemes()[0] != scheme {
			t.Errorf("%q: %s %v %v, want %s", text, c.Format, c.Schemes(), err, scheme)
		}
	}
	for _, text := range []string{
		"https://id.gs1.org/01/09506000134353", // wrong check digit
		"https://id.gs1.org/01/0950600013435",
		"https://brand.example/01/",
	} {
		if c, err := Decode(text); err == nil {
			t.Errorf("%q: accepted as %s", text, c.Format)
		}
	}
}

func TestNumericRules(t *testing.T) {
	for digits, want := range map[string]string{
		"281012029560385043":   "alipay alipayhk",
		"2863443825664394":     "alipay",
		"6212345678901234567":  "unionpay",
		"90008181881234567890": "paypay",
		"90000000123456789012": "linepay",
		"90000100123456789012": "rakutenpay",
		"90000002123456789012": "dbarai",
		"31589900123456789012": "merpay",
		"31589921123456789012": "aupay",
		"31589940123456789012": "yuchopay",
		"911234567890123456":   "qqwallet",
	} {
		c, err := Decode(digits)
		if err != nil || strings.Join(c.Schemes(), " ") != want {
			t.Errorf("%s: %v %v, want %s", digits, c.Schemes(), err, want)
		}
		consult := want != "alipay" && want != "unionpay"
		if err == nil && c.Matches[0].Consult != consult {
			t.Errorf("%s: consult %v", digits, c.Matches[0].Consult)
		}
	}
	for _, digits := range []string{"1", "12", "31589941123456789012", "160061098828009406", "28" + strings.Repeat("0", 23), "7700012345678901236"} {
		c, err := Decode(digits)
		var d *DecodeError
		if !errors.As(err, &d) || d.Reason != ReasonNoRule {
			t.Errorf("%s: %v %v", digits, c.Schemes(), err)
		}
	}
}

func TestScannerSuffixIsCutOffAndNothingElse(t *testing.T) {
	for _, suffix := range []string{"", "\r", "\n", "\r\n"} {
		c, err := Decode("134621141753364349" + suffix)
		if err != nil || c.Raw != "134621141753364349" || c.Format != FormatPayCode || c.Presentation != Consumer {
			t.Errorf("suffix %q: %+v %v", suffix, c, err)
		}
	}
	for _, text := range []string{" 134621141753364349", "134621141753364349 ", "\r\n134621141753364349", "13462114 1753364349", "\ufeff134621141753364349"} {
		if _, err := Decode(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// rideCode makes a code with the lengths of the transport ministry's format;
// its signatures are not looked at.
func rideCode(version byte, custom int) string {
	b := []byte{version}
	b = binary.BigEndian.AppendUint16(b, uint16(rideFixed+custom))
	b = append(b, make([]byte, rideFixed+custom)...)
	b[3] = 0x24
	b[rideCustomAt] = byte(custom)
	b[len(b)-1] = '\n' // the last byte of a signature may be anything
	return string(b)
}

func TestRideCodesAreRecognisedByTheirLengths(t *testing.T) {
	for _, raw := range []string{rideCode(0x80, 0), rideCode(0x81, 32), rideCode(0x80, 5)} {
		for _, suffix := range []string{"", "\r\n"} {
			c, err := Decode(raw + suffix)
			if err != nil || c.Format != FormatRide || c.Raw != raw || c.Schemes()[0] != "cn-transport" {
				t.Errorf("%d bytes and %q: %s %v", len(raw), suffix, c.Format, err)
			}
		}
	}
	metro := shanghaiMark + "\x00\x8e" + strings.Repeat("x", 142)
	if c, err := Decode(metro); err != nil || c.Schemes()[0] != "shanghai-metro" {
		t.Errorf("metro: %v %v", c.Schemes(), err)
	}
	for _, raw := range []string{"\x80", "\x80\x00\x00", rideCode(0x80, 0)[:200], rideCode(0x80, 0) + "x", rideCode(0x80, 33), shanghaiMark, shanghaiMark + "\x00\x8e"} {
		var d *DecodeError
		if _, err := Decode(raw); !errors.As(err, &d) || d.Reason != ReasonRideLength {
			t.Errorf("%d bytes: %v", len(raw), err)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	_, err := Decode(repairCRC("00020101021152040000530370262140599REFERENCE15802SG5902NA6009Singapore"))
	if err == nil || err.Error() != "emv: 62.05 at char 31: length 99 passes the end" {
		t.Errorf("got %v", err)
	}
	_, err = Decode("0002010102112937")
	if err == nil || err.Error() != "emv: 29 at char 12: length 37 passes the end" {
		t.Errorf("got %v", err)
	}
	_, err = Decode("5500000000000000")
	if err == nil || err.Error() != "paycode: no scheme's rule covers these digits: none begins so" {
		t.Errorf("got %v", err)
	}
	_, err = Decode("1300000000000000000")
	if err == nil || err.Error() != "paycode: no scheme's rule covers these digits: codes of wechat begin so and have 18, these are 19" {
		t.Errorf("got %v", err)
	}
}

func TestBoundsComeFirst(t *testing.T) {
	for raw, reason := range map[string]string{
		"": ReasonEmpty, "\r\n": ReasonEmpty, strings.Repeat("1", MaxRaw+1): ReasonTooLong,
		"hQVDUFYw" + strings.Repeat("A", emv.MaxCPM): emv.ReasonTooLong,
	} {
		var d *DecodeError
		if _, err := Decode(raw); !errors.As(err, &d) || d.Reason != reason {
			t.Errorf("%d bytes: %v, want %s", len(raw), err, reason)
		}
	}
}

func TestMaskShowsFourCharactersAtMost(t *testing.T) {
	for raw, want := range map[string]string{
		"134621141753364349": "…4349", "1346": "…", "": "…", "wxp://f2f0最佳运输": "…最佳运输", "0123456789\x00\x01\x02\x03": "…····",
	} {
		if got := (Code{Raw: raw}).Masked(); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestReportMasksAccountNumbers(t *testing.T) {
	for i, v := range readVectors(t, "cpm.jsonl") {
		open, shut := Report(v.Payload, true), viaJSON(t, Report(v.Payload, false))
		pan, ok := open.CPM["pan"].(string)
		if !ok {
			continue
		}
		if walk(shut, pan) {
			t.Errorf("line %d: the masked report holds the account number", i+1)
		}
		cpm := shut["cpm"].(map[string]any)
		if got := cpm["pan"].(string); len(got) != len(pan) || !strings.HasSuffix(got, pan[len(pan)-4:]) || strings.Trim(got[:len(got)-4], "*") != "" {
			t.Errorf("line %d: pan shown as %q", i+1, got)
		}
		if len(cpm["hex"].(string)) != len(open.CPM["hex"].(string)) {
			t.Errorf("line %d: masking changed the length of hex", i+1)
		}
	}
	// GCash writes a number in ASCII where compact digits belong.
	shut := viaJSON(t, Report("hQVDUFYwMWGBlk8FR0NBU0haGzExMDcwMDQwMDAwMDAwMDAwMDEwODkwMzA5MGNwwRZHQy0wODAxMjAyNS0wMDAwMTE4Mjg3wgIAAcQEaIypacgEaIyNXd5GMEQCIAgmKMFDFNGaBHwbjefbGDL6N4hxqHI8Qc1pHxfX9xjEAiA2PtajUjAk3ApPOtNLeGPh1ifWGV4pYFV2NHTK6zklpQ==", false))
	if walk(shut, "3131303730303430") {
		t.Error("the masked report holds the start of the number in ASCII")
	}
}

// walk reports whether any string in v holds s.
func walk(v any, s string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, s)
	case []any:
		for _, x := range v {
			if walk(x, s) {
				return true
			}
		}
	case map[string]any:
		for _, x := range v {
			if walk(x, s) {
				return true
			}
		}
	}
	return false
}

func TestKHQRProfile(t *testing.T) {
	for _, v := range readVectors(t, "mpm.jsonl") {
		if !v.Valid || !strings.HasPrefix(v.ProfileInvalid, "KHQR: ") {
			continue
		}
		r := Report(v.Payload, false)
		if len(r.Schemes) > 0 && r.Schemes[len(r.Schemes)-1] == "khqr" {
			found := false
			for _, f := range r.Findings {
				found = found || strings.HasPrefix(f.Kind, "khqr-") || strings.HasPrefix(f.Kind, "too-long-")
			}
			if !found {
				t.Errorf("%s: no finding, got %v", v.ProfileInvalid, r.Findings)
			}
		} else if len(r.Schemes) > 0 {
			t.Errorf("%s: schemes %v", v.ProfileInvalid, r.Schemes)
		}
	}
}

func TestEncodeOfNothingFails(t *testing.T) {
	if _, err := Encode(Code{}); err == nil {
		t.Error("the zero Code was encoded")
	}
	if _, err := Encode(Code{PayCode: &paycode.Code{Issuer: "1"}}); !errors.Is(err, paycode.ErrIssuer) {
		t.Errorf("got %v", err)
	}
}
