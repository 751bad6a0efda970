module quorate

go 1.24
