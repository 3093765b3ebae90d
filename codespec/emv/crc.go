package emv

// crcTables[k] is CRC-16/CCITT-FALSE (polynomial 0x1021, not reflected) of one
// byte followed by k zero bytes, so that four bytes are taken at a time.
var crcTables = func() (t [4][256]uint16) {
	for i := range t[0] {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[0][i] = c
	}
	for k := 1; k < len(t); k++ {
		for i := range t[k] {
			c := t[k-1][i]
			t[k][i] = c<<8 ^ t[0][c>>8]
		}
	}
	return t
}()

// CRC is the check value of EMVCo MPM 4.7.3 over the bytes of s:
// CRC-16/CCITT-FALSE with initial value 0xFFFF. CRC("123456789") is 0x29B1.
func CRC(s string) uint16 {
	c := uint16(0xFFFF)
	for ; len(s) >= 4; s = s[4:] {
		c = crcTables[3][byte(c>>8)^s[0]] ^ crcTables[2][byte(c)^s[1]] ^ crcTables[1][s[2]] ^ crcTables[0][s[3]]
	}
	for i := 0; i < len(s); i++ {
		c = c<<8 ^ crcTables[0][byte(c>>8)^s[i]]
	}
	return c
}

const upperHex = "0123456789ABCDEF"

func appendCRC(dst []byte, c uint16) []byte {
	return append(dst, upperHex[c>>12], upperHex[c>>8&15], upperHex[c>>4&15], upperHex[c&15])
}

// parseCRC reads four hex digits of either case.
func parseCRC(s string) (value uint16, lower, ok bool) {
	if len(s) != 4 {
		return 0, false, false
	}
	for i := 0; i < 4; i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | uint16(c-'0')
		case c >= 'A' && c <= 'F':
			value = value<<4 | uint16(c-'A'+10)
		case c >= 'a' && c <= 'f':
			value, lower = value<<4|uint16(c-'a'+10), true
		default:
			return 0, false, false
		}
	}
	return value, lower, true
}
