module leverframe

go 1.21
